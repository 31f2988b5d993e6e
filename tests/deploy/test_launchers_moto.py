"""The launchers against moto, which knows the forms of AWS' APIs: what the managed grade makes, and workers of it.

A double in front checks every signature and serves STS; moto checks neither.
"""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from tests.scheduler.conftest import plans  # noqa: F401
from tests.scheduler.daemon import Scheduler, Tenant, wait_for
from tests.scheduler.test_api import sources_of
from tests.scheduler.test_aws_settings import changed, managed

from . import servers
from .aws_double import OWN, running

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
