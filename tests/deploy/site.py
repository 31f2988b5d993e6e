"""A deployment on the stand-ins (standins.py): the account, a scheduler outside of it, and a user of both."""

from __future__ import annotations

import configparser
import contextlib
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.scheduler.daemon import Scheduler
from tests.store.servers import KEY, SECRET

from . import standins
from .aws_double import ACCOUNT, OWN
from .standins import Cloud

__all__ = ["NAME", "READING", "ROOT", "Site", "calls_of_scheduler", "site"]

ROOT = Path(__file__).resolve().parents[2]
NAME = "demo"
PRINCIPAL = f"arn:aws:iam::{ACCOUNT}:user/scheduler"


class Site:
    """See above; `folder` has the user's profile, the artifacts and all logs."""

    def __init__(self, account: Cloud, scheduler: Scheduler, folder: Path):
        self.account, self.scheduler, self.folder = account, scheduler, folder
        self.key = scheduler.api().post("/v1/accounts", {"name": "user"})["key"]["key"]
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TERALITY_"))},
            **account.environment(),
            "TERALITY_HOME": str(folder / "home"),
            "TERALITY_URL": scheduler.url,
            "TERALITY_API_KEY": self.key,
            "TERALITY_ARTIFACTS": str(standins.make_artifacts(folder / "artifacts")),
            "TERALITY_QUIET": "1",
        }

    # ---- what the user does
    def terality(self, *words: str, status: int = 0) -> str:
        """Run a command of the CLI; give what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "terality.cli", *words], env=self.environment, capture_output=True, text=True,
            timeout=900, check=False,
        )  # fmt: skip
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def deploy(self, *words: str, status: int = 0) -> str:
        given = ["--name", NAME, "--yes", "--poll-seconds", "0.1", "--architecture", "x86_64", *words]
        return self.terality("deploy", "aws", *given, "--scheduler-principal", PRINCIPAL, status=status)

    def destroy(self) -> str:
        return self.terality("destroy", "aws", "--name", NAME, "--yes", "--poll-seconds", "0.1")

    def profiles(self) -> configparser.ConfigParser:
        """The user's profiles."""
        found = configparser.ConfigParser(interpolation=None, default_section="")
        found.read(self.folder / "home" / "config")
        return found

    def connected(self) -> dict[str, str]:
        """Give the environment of a program that runs on the deployment."""
        profile = self.profiles()[NAME]
        connect = {
            "TERALITY_DEPLOYMENT": profile["deployment"],
            "TERALITY_STORE": profile["store"],
            "AWS_ENDPOINT_URL_S3": self.account.s3.endpoint,
        }
        return {**self.environment, **connect}

    def workload(self, *words: str, status: int = 0) -> str:
        """Run queries on the deployment and compare with pandas; give what was said."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.deploy.workload", *words], env=self.connected(), cwd=ROOT,
            capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
        assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    # ---- what there is
    @property
    def api(self) -> Any:
        """A client of its own connection."""
        return self.scheduler.api(self.key)

    def settings(self) -> dict[str, Any]:
        """What the scheduler knows of the stack."""
        return dict(self.api.get(f"/v1/deployments/{NAME}/aws"))

    def change(self, settings: dict[str, Any]) -> None:
        self.api.call("PUT", f"/v1/deployments/{NAME}/aws", settings)

    def metrics(self) -> str:
        """What the scheduler tells Prometheus."""
        return str(self.scheduler.api(None).get("/metrics"))

    def health(self) -> dict[str, Any]:
        return dict(self.api.get(f"/v1/deployments/{NAME}/health"))

    def workers(self) -> dict[str, int]:
        """Count running workers by kind of machine: processes, not what anybody says of them."""
        account = self.account
        return {"function": account.busy_functions(), **{k: len(account.running(k)) for k in ("ecs", "ec2")}}

    def machines(self) -> dict[str, int]:
        """Count what costs money, whether its worker runs or not: tasks, instances, the group's wish."""
        with self.account.lock:
            tasks = [task for task in self.account.tasks.values() if task["lastStatus"] != "STOPPED"]
        groups = self.account.groups
        instances = [one for group in groups for one in group["Instances"]]
        desired = sum(group["DesiredCapacity"] for group in groups)
        return {"tasks": len(tasks), "instances": len(instances), "desired": desired}

    @contextlib.contextmanager
    def only(self, *kinds: str) -> Iterator[None]:
        """Leave the scheduler of "lambda", "ecs" and "ec2" just these; afterwards it has again what it had."""
        whole = self.settings()
        self.change({k: v for k, v in whole.items() if k not in ("lambda", "ecs", "ec2") or k in kinds})
        try:
            yield
        finally:
            self.change(whole)

    def at_rest(self) -> bool:
        """Whether nothing runs and nothing is on its way."""
        return not any(self.workers().values()) and not any(self.machines().values())

    def s3(self) -> Any:
        """A client of the bucket's server, with the administrator's keys."""
        return boto3.client("s3", endpoint_url=self.account.s3.endpoint, region_name="us-east-1",
                            aws_access_key_id=KEY, aws_secret_access_key=SECRET)  # fmt: skip

    def objects(self, bucket: str) -> dict[str, int]:
        """Give all objects of the bucket with their sizes."""
        pages = self.s3().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", [])}

    def scheduler_calls(self, bucket: str, names: Iterable[str]) -> dict[str, str]:
        """Make these calls with the last session that the scheduler got of its role; "allowed", or why not."""
        account, region = self.account, standins.REGION
        sessions = [key for key, who in account.owners.items() if f"/terality-{NAME}-scheduler/" in who]
        secret, token = account.keys[sessions[-1]]
        said = {}
        for name in names:
            service, method, path, headers, body = calls_of_scheduler(region, ACCOUNT, bucket)[name]
            request = AWSRequest(method, f"{account.url}{path}", data=body.encode(), headers=headers)
            keys = Credentials(sessions[-1], secret, token)
            (S3SigV4Auth if service == "s3" else SigV4Auth)(keys, service, region).add_auth(request)
            whole = urllib.request.Request(request.url, body.encode() or None, dict(request.headers), method=method)
            try:
                with urllib.request.urlopen(whole, timeout=60):
                    said[name] = "allowed"
            except urllib.error.HTTPError as refusal:
                found = re.search(rb"AccessDenied\w*|InvalidAccessKeyId", refusal.read())
                said[name] = found[0].decode() if found else f"status {refusal.code}"
        return said

    def tasks(self) -> Counter[str]:
        """Count the tasks that ended well by the kind of worker: from the lines of metrics that workers write."""
        done: Counter[str] = Counter()
        for kind in ("ecs", "ec2"):
            log = self.folder / f"{kind}.log"
            done[kind] = ended_well(log.read_text().splitlines() if log.exists() else [])
        done["function"] = sum(ended_well(list(f.log)) for f in self.account.functions.functions.values())
        return done


def calls_of_scheduler(region: str, account: str, bucket: str) -> dict[str, tuple[str, str, str, dict[str, str], str]]:
    """Give service, method, path, headers and body of a call of each kind that the scheduler makes, and one of S3."""
    group = f"AutoScalingGroupName=terality-{NAME}-workers"
    task = f"arn:aws:ecs:{region}:{account}:task/terality-{NAME}/{'0' * 32}"
    cluster, family = f"terality-{NAME}", f"terality-{NAME}-worker"

    def query(service: str, version: str, text: str) -> tuple[str, str, str, dict[str, str], str]:
        form = {"content-type": "application/x-www-form-urlencoded"}
        return service, "POST", "/", form, f"{text}&Version={version}"

    def ecs(action: str, **body: Any) -> tuple[str, str, str, dict[str, str], str]:
        target = f"AmazonEC2ContainerServiceV20141113.{action}"
        headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": target}
        return "ecs", "POST", "/", headers, json.dumps({"cluster": cluster, **body})

    wake = {"x-amz-invocation-type": "Event", "content-type": "application/json"}
    place = f"/2015-03-31/functions/terality-{NAME}-worker-small/invocations"
    scaling, since = "2011-01-01", "StartTime=2026-01-01T00:00:00Z&EndTime=2026-01-02T00:00:00Z"
    return {
        "DescribeAutoScalingGroups": query(
            "autoscaling", scaling, "Action=DescribeAutoScalingGroups&AutoScalingGroupNames.member.1=" + group[21:]
        ),
        "DescribeTasks": ecs("DescribeTasks", tasks=[task]),
        "ListTasks": ecs("ListTasks"),
        "GetMetricData": query("monitoring", "2010-08-01", f"Action=GetMetricData&{since}"),
        "Invoke": ("lambda", "POST", place, wake, '{"wake":1}'),
        "RunTask": ecs("RunTask", taskDefinition=family, count=1, launchType="FARGATE"),
        "StopTask": ecs("StopTask", task=task),
        "SetDesiredCapacity": query("autoscaling", scaling, f"Action=SetDesiredCapacity&{group}&DesiredCapacity=1"),
        "TerminateInstance": query(
            "autoscaling", scaling, "Action=TerminateInstanceInAutoScalingGroup&InstanceId=i-00000000000000000"
            "&ShouldDecrementDesiredCapacity=true",
        ),
        "ListObjects": ("s3", "GET", f"/{bucket}?list-type=2", {}, ""),
    }  # fmt: skip


READING = ("DescribeAutoScalingGroups", "DescribeTasks", "ListTasks", "GetMetricData", "ListObjects")


def ended_well(lines: list[str]) -> int:
    """Count tasks without an error in a worker's log."""
    return sum(not json.loads(line)["TaskFailures"] for line in lines if line.startswith('{"_aws"'))


@contextlib.contextmanager
def site(folder: Path, *of_scheduler: str, **about: float) -> Iterator[Site]:
    """Run all of it while the context lasts; `about` goes to `standins.cloud`, `of_scheduler` are further arguments."""
    with standins.cloud(folder, **about) as account, mock.patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        own = {"AWS_ACCESS_KEY_ID": OWN[0], "AWS_SECRET_ACCESS_KEY": OWN[1], "AWS_EC2_METADATA_DISABLED": "true"}
        endpoints = ["--aws-endpoint", account.url, "--sts-endpoint", f"{account.url}/"]
        scheduler = Scheduler(folder / "scheduler", *endpoints, *of_scheduler).start(**own)
        try:
            yield Site(account, scheduler, folder)
        finally:
            scheduler.stop()
