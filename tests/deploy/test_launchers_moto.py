"""The launchers against moto, which knows the forms of AWS' APIs: what the managed grade makes, and workers of it.

A double in front checks every signature and serves STS; moto checks neither.
"""

from __future__ import annotations

import json
import os
import re
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from terality.deploy import sweep
from terality.deploy.account import open_account

from tests.scheduler.conftest import plans  # noqa: F401
from tests.scheduler.daemon import Scheduler, Tenant, wait_for
from tests.scheduler.test_api import sources_of
from tests.scheduler.test_aws_settings import changed, managed

from . import servers
from .aws_double import OWN, AwsDouble, Call, Reply, read_call, refusal, running
from .policy_simulator import Request, decide
from .stack import Stack

REGION = "eu-west-1"
TRUST = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},\
"Action":"sts:AssumeRole"}]}'


@pytest.fixture(scope="module")
def upstream():
    with servers.moto() as url:
        yield url


class Moto:
    """Calls past the double, as an administrator of the account makes them; moto looks at the scope only."""

    def __init__(self, url: str):
        self.url = url

    def send(self, service: str, path: str, body: bytes, method: str = "POST", **headers: str) -> str:
        scope = (
            f"AWS4-HMAC-SHA256 Credential=AK/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0"
        )
        sent = {"Authorization": scope, **{name.replace("_", "-"): value for name, value in headers.items()}}
        request = urllib.request.Request(self.url + path, body or None, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return reply.read().decode()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{service} {path}: {error.code} {error.read().decode()[:300]}") from error

    def query(self, service: str, action: str, version: str, **parameters: str) -> str:
        body = urllib.parse.urlencode({"Action": action, "Version": version, **parameters}).encode()
        return self.send(service, "/", body, content_type="application/x-www-form-urlencoded")

    def json(self, action: str, value: dict) -> dict:
        target = f"AmazonEC2ContainerServiceV20141113.{action}"
        return json.loads(self.send("ecs", "/", json.dumps(value).encode(), x_amz_target=target,
                                    content_type="application/x-amz-json-1.1"))  # fmt: skip


@pytest.fixture
def account(upstream):
    """An account with what the stack has: role, bucket with the program, network, task definition."""
    made = Moto(upstream)
    made.send("s3", "/moto-api/reset", b"")
    made.send("lambda", "/moto-api/config", b'{"lambda":{"use_docker":false}}', content_type="application/json")
    made.query("iam", "CreateRole", "2010-05-08", RoleName="terality-one-worker-lambda", AssumeRolePolicyDocument=TRUST)
    made.query("iam", "CreateInstanceProfile", "2010-05-08", InstanceProfileName="terality-one-worker-ec2")
    location = (
        f"<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
    )
    made.send("s3", "/artifacts-of-one", location.encode(), "PUT", content_type="application/xml")
    made.send(
        "s3",
        "/artifacts-of-one/terality/0.1.0/worker-arm64.zip",
        b"PK\5\6" + bytes(18),
        "PUT",
        content_type="application/zip",
    )
    subnets = re.findall("<subnetId>(subnet-[0-9a-f]+)<", made.query("ec2", "DescribeSubnets", "2016-11-15"))
    groups = re.findall("<groupId>(sg-[0-9a-f]+)<", made.query("ec2", "DescribeSecurityGroups", "2016-11-15"))
    image = re.search("<imageId>(ami-[0-9a-f]+)<", made.query("ec2", "DescribeImages", "2016-11-15"))
    assert image
    container = {"name": "worker", "image": "x", "memory": 512}
    task = {"family": "terality-one-worker", "containerDefinitions": [container], "cpu": "256", "memory": "512"}
    task |= {"networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"]}
    made.json("RegisterTaskDefinition", task)
    settings = changed("managed.ec2.image", image[1], managed())
    for place in (settings["managed"]["ec2"], settings["ecs"]):
        place |= {"subnets": subnets[:2], "security_groups": groups[:1]}
    return made, settings


def test_what_managed_makes(account, upstream, tmp_path, monkeypatch, plans):  # noqa: F811
    made, settings = account
    for name, value in {"AWS_ACCESS_KEY_ID": OWN[0], "AWS_SECRET_ACCESS_KEY": OWN[1], "AWS_CONFIG_FILE": os.devnull,
                        "AWS_SHARED_CREDENTIALS_FILE": os.devnull}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    with running(upstream) as double:
        scheduler = Scheduler(Path(tmp_path) / "data", "--aws-endpoint", double.url).start()
        tenant = Tenant(scheduler, "t")
        external = tenant.api.get("/v1/deployments/main")["external_id"]
        double.role("terality-one-scheduler", external_id=external)
        tenant.api.call("PUT", "/v1/deployments/main/aws", settings)

        def health():
            return tenant.api.get("/v1/deployments/main/health")

        assert wait_for(lambda: (h := health().get("managed")) and h["state"] != "making" and h, 60)["error"] is None
        function = json.loads(made.send("lambda", "/2015-03-31/functions/terality-one-worker-small", b"", "GET"))
        about = function["Configuration"]
        assert (about["MemorySize"], about["Timeout"], about["Architectures"]) == (1769, 900, ["arm64"])
        assert about["Runtime"] == "provided.al2023" and function["Tags"] == {"terality:deployment": "one"}
        assert about["Environment"]["Variables"] == settings["managed"]["lambda"]["environment"]
        events = made.send("lambda", "/2019-09-25/functions/terality-one-worker-large/event-invoke-config", b"", "GET")
        assert json.loads(events)["MaximumRetryAttempts"] == 0
        clusters = made.json("DescribeClusters", {"clusters": ["terality-one-managed"]})["clusters"]
        assert clusters[0]["status"] == "ACTIVE"
        group = made.query("autoscaling", "DescribeAutoScalingGroups", "2011-01-01")
        assert "<MaxSize>50</MaxSize>" in group and "<DesiredCapacity>0</DesiredCapacity>" in group
        assert "terality:deployment" in group and "c6g.2xlarge" in group
        versions = made.query("ec2", "DescribeLaunchTemplateVersions", "2016-11-15",
                              LaunchTemplateName="terality-one-managed")  # fmt: skip
        assert "<httpTokens>required</httpTokens>" in versions and "<encrypted>true</encrypted>" in versions

        # The same once more after a change: what is there is brought forward.
        settings = changed("lambda.functions.0.memory_mb", 3008, settings)
        tenant.api.call("PUT", "/v1/deployments/main/aws", settings)
        small = "/2015-03-31/functions/terality-one-worker-small/configuration"
        wait_for(lambda: json.loads(made.send("lambda", small, b"", "GET"))["MemorySize"] == 3008, 60)
        assert wait_for(lambda: (h := health()["managed"])["state"] != "making" and h, 60)["error"] is None

        # Workers of all kinds: invocations are accepted, tasks and instances are there.
        plan = plans["group"]
        sources = [{**source, "rows": [10**9] * 400} for source in sources_of(plan)]
        tenant.submit(plan, sources, target_rows=10**9)
        wait_for(lambda: double.made("lambda", "Invoke"), 60)
        wait_for(lambda: double.made("ecs", "RunTask") or double.made("autoscaling", "SetDesiredCapacity"), 60)
        only = changed("limits.workers", 2, changed("lambda", None, changed("managed.lambda", None, settings)))
        tenant.api.call("PUT", "/v1/deployments/main/aws", changed("ec2", None, changed("managed.ec2", None, only)))
        wait_for(lambda: made.json("ListTasks", {"cluster": "terality-one-managed"})["taskArns"], 60)
        without = changed("ecs", None, changed("managed.cluster", None, only))
        tenant.api.call("PUT", "/v1/deployments/main/aws", without)
        # moto fails to make instances of such a group (500): what the group's life looks like is test_launchers.py's.
        wait_for(lambda: double.made("autoscaling", "SetDesiredCapacity"), 60)
        wait_for(lambda: health()["metrics"]["state"] == "known", 60)
        scheduler.stop()
        assert not double.bad, double.bad


HERE = f"{REGION}:123456789012"
TAG = "terality:deployment"
Asked = tuple[str, str, dict[str, str]]  # action, resource, condition keys


class Judge(AwsDouble):
    """Asks the template's policies of the managed grade about every call, as AWS would, and refuses what they do."""

    def __init__(self, upstream: str):
        super().__init__(upstream)
        given = {"DeploymentName": "one", "SchedulerAccess": "managed", "ArtifactBucket": "artifacts-of-one"}
        stack = Stack(given={**given, "MaxInstances": "50"})
        self.policies, self.boundary = stack.identity_policies("SchedulerRole"), stack.boundary("SchedulerRole")
        self.asked: list[Asked] = []
        self.refused: list[str] = []
        self.guard = threading.Lock()

    def allows(self, action: str, resource: str, context: dict[str, str]) -> bool:
        """What AWS would answer to the scheduler's role."""
        role = "arn:aws:iam::123456789012:role/terality-one-scheduler"
        request = Request(role, action, resource, {"aws:RequestedRegion": REGION, **context})
        return bool(decide(request, self.policies, self.boundary))

    def forward(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        service = re.findall(r"Credential=[^/]+/[^/]+/[^/]+/([^/]+)/", headers["authorization"])[0]
        call = read_call(service, "", REGION, target, headers, body)
        with self.guard:
            again = [resource for action, resource, _ in self.asked if action == "autoscaling:CreateAutoScalingGroup"]
        for one in of_call(call, method):
            with self.guard:
                self.asked.append(one)
            if not self.allows(*one):
                self.refused.append(f"{one}")
                return refusal(service, "AccessDeniedException", f"not authorized to {one}", 403)
        if call.action == "CreateAutoScalingGroup" and again:  # moto makes the group anew
            return refusal(service, "AlreadyExists", "AutoScalingGroup by this name already exists")
        return super().forward(method, target, headers, body)


def of_call(call: Call, method: str) -> Iterator[Asked]:
    """Actions, resources and condition keys of a call, as AWS' reference of actions gives them."""
    p = call.parameters
    if call.service == "lambda":
        yield from _of_lambda(call, method)
    elif call.service == "ecs":
        cluster = f"arn:aws:ecs:{HERE}:cluster/{p.get('cluster') or p.get('clusterName')}"
        if call.action == "CreateCluster":
            yield "ecs:CreateCluster", cluster, {f"aws:RequestTag/{TAG}": p["tags"][0]["value"]}
            yield "ecs:TagResource", cluster, {"ecs:CreateAction": "CreateCluster"}
        else:
            task = f"arn:aws:ecs:{HERE}:task/{p['cluster']}/1"
            task = f"arn:aws:ecs:{HERE}:task-definition/{p['taskDefinition']}" if call.action == "RunTask" else task
            yield f"ecs:{call.action}", task, {"ecs:cluster": cluster}
    elif call.service == "ec2":
        template = f"arn:aws:ec2:{HERE}:launch-template/lt-0abc"
        if call.action == "CreateLaunchTemplate":
            tag = {f"aws:RequestTag/{TAG}": p["TagSpecification.1.Tag.1.Value"]}
            yield "ec2:CreateLaunchTemplate", template, tag
            yield "ec2:CreateTags", template, {**tag, "ec2:CreateAction": "CreateLaunchTemplate"}
        else:
            yield f"ec2:{call.action}", template, {f"aws:ResourceTag/{TAG}": "one"}
    elif call.service == "autoscaling":
        yield from _of_groups(call)
    else:
        yield f"cloudwatch:{call.action}", "*", {}


def _of_lambda(call: Call, method: str) -> Iterator[Asked]:
    p, name = call.parameters, (call.target + "////").split("/")[3]
    actions = {"configuration": "UpdateFunctionConfiguration", "code": "UpdateFunctionCode"}
    actions |= {"event-invoke-config": "PutFunctionEventInvokeConfig", "invocations": "InvokeFunction"}
    action = actions.get(call.target.rpartition("/")[2], "CreateFunction")
    function = f"arn:aws:lambda:{HERE}:function:{name or p['FunctionName']}"
    tag = {f"aws:RequestTag/{TAG}": p["Tags"][TAG]} if "Tags" in p else {}
    yield f"lambda:{action}", function, tag
    if tag:
        yield "lambda:TagResource", function, tag
    if "Role" in p:
        yield "iam:PassRole", p["Role"], {"iam:PassedToService": "lambda.amazonaws.com"}
    place = p.get("Code", p)
    if "S3Key" in place:
        yield "s3:GetObject", f"arn:aws:s3:::{place['S3Bucket']}/{place['S3Key']}", {}


def _of_groups(call: Call) -> Iterator[Asked]:
    p = call.parameters
    if call.action.startswith("Describe"):
        yield f"autoscaling:{call.action}", "*", {}
        return
    group = f"arn:aws:autoscaling:{HERE}:autoScalingGroup:1:autoScalingGroupName/{p['AutoScalingGroupName']}"
    most = {"autoscaling:MaxSize": p["MaxSize"]} if "MaxSize" in p else {}
    if call.action == "CreateAutoScalingGroup":
        tag = {f"aws:RequestTag/{TAG}": p["Tags.member.1.Value"]}
        yield "autoscaling:CreateAutoScalingGroup", group, {**tag, **most}
        yield "autoscaling:CreateOrUpdateTags", group, tag
    else:
        yield f"autoscaling:{call.action}", group, {f"aws:ResourceTag/{TAG}": "one", **most}


def elsewhere(asked: Asked) -> Iterator[Asked]:
    """The same, outside of the deployment: another name, another tag, no tag, a larger group."""
    action, resource, context = asked
    if "terality-one-" in resource:
        for name in ("terality-other-", "terality-one_", "payroll-"):
            yield action, resource.replace("terality-one-", name), context
    if resource.startswith("arn:aws:s3:::"):
        yield action, resource.replace("artifacts-of-one", "data-of-one"), context
        yield action, resource.replace("/terality/", "/results/"), context
    for key, value in context.items():
        rest = {name: one for name, one in context.items() if name != key}
        if key.endswith(TAG):
            yield action, resource, {**rest, key: "other"}
            yield action, resource, rest
        elif key == "autoscaling:MaxSize":
            yield action, resource, {**rest, key: "51"}
        elif key == "ecs:cluster":
            yield action, resource, {**rest, key: value.replace("terality-one", "terality-other")}
        else:  # PassedToService, CreateAction
            yield action, resource, {**rest, key: "other"}


def names_are_enough(asked: Asked) -> bool:
    """Whether the request is bound by its resource's name alone: functions and clusters that are there."""
    action = asked[0]
    return action.split(":")[0] in ("ecs", "lambda") and "Create" not in action and "Tag" not in action


def test_managed_creates_updates_and_is_swept(account, upstream, tmp_path, monkeypatch):
    """Function, group, launch template and cluster are made and brought forward with prefix and tag, each call within
    the role's policies and the same call anywhere else outside of them; the sweep of `terality destroy aws` takes all.
    """
    made, settings = account
    for name, value in {"AWS_ACCESS_KEY_ID": OWN[0], "AWS_SECRET_ACCESS_KEY": OWN[1], "AWS_CONFIG_FILE": os.devnull,
                        "AWS_SHARED_CREDENTIALS_FILE": os.devnull}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    for at, size in enumerate(("small", "large")):
        settings = changed(f"lambda.functions.{at}.name", f"terality-one-own-{size}", settings)
    small = "/2015-03-31/functions/terality-one-own-small"
    with Judge(upstream) as judge:
        scheduler = Scheduler(Path(tmp_path) / "data", "--aws-endpoint", judge.url).start()
        tenant = Tenant(scheduler, "t")
        external = tenant.api.get("/v1/deployments/main")["external_id"]
        judge.role("terality-one-scheduler", external_id=external)

        def settle(record: dict[str, Any]) -> None:
            tenant.api.call("PUT", "/v1/deployments/main/aws", record)
            path = "/v1/deployments/main/health"
            found = wait_for(lambda: (h := tenant.api.get(path).get("managed")) and h["state"] != "making" and h, 120)
            assert found == {"state": "made", "error": None}, judge.refused

        settle(settings)
        before = {action for action, _, _ in judge.asked}
        assert {"lambda:CreateFunction", "ecs:CreateCluster", "ec2:CreateLaunchTemplate"} <= before
        assert "autoscaling:CreateAutoScalingGroup" in before
        newer = changed("managed.ec2.max", 40, changed("lambda.functions.0.memory_mb", 3008, settings))
        newer = changed("managed.ec2.instance_types", ["c8g.2xlarge"], newer)
        settle(changed("managed.lambda.timeout_s", 600, newer))
        after = {action for action, _, _ in judge.asked} - before
        assert {"lambda:UpdateFunctionConfiguration", "lambda:UpdateFunctionCode"} <= after
        assert {"ec2:CreateLaunchTemplateVersion", "autoscaling:UpdateAutoScalingGroup"} <= after
        tenant.api.delete("/v1/deployments/main/aws")
        scheduler.stop()
    assert judge.refused == [] and judge.bad == []
    about = json.loads(made.send("lambda", small, b"", "GET"))
    assert (about["Configuration"]["MemorySize"], about["Configuration"]["Timeout"]) == (3008, 600)
    assert about["Tags"] == {TAG: "one"}
    group = made.query("autoscaling", "DescribeAutoScalingGroups", "2011-01-01")
    assert "<MaxSize>40</MaxSize>" in group and "c8g.2xlarge" in group and "c6g.2xlarge" not in group
    for asked in judge.asked:
        for other in elsewhere(asked):
            bound_by_name = names_are_enough(asked) and other[1] == asked[1]
            assert bound_by_name or not judge.allows(*other), f"{other} is allowed, as {asked} is"
    monkeypatch.setenv("AWS_ENDPOINT_URL", upstream)
    us = open_account(REGION)
    found = sweep.find(us, "one", set())
    assert [one.kind for one in found] == ["cluster", "group", "launch template", "function", "function"]
    assert sweep.find(us, "on", set()) == sweep.find(us, "one-own", set()) == []
    sweep.remove(us, found, lambda line: None)
    assert sweep.find(us, "one", set()) == []
