"""From nothing to answers and back, on the stand-ins (standins.py): deploy, run, scale, break, destroy.

Nothing but calls of AWS' API starts a worker here.
"""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.scheduler.daemon import Scheduler, wait_for
from tests.store.servers import KEY, SECRET

from . import standins
from .aws_double import ACCOUNT, OWN, refusal
from .standins import Cloud, cloud

ROOT = Path(__file__).resolve().parents[2]
NAME = "demo"
PRINCIPAL = f"arn:aws:iam::{ACCOUNT}:user/scheduler"


class Site:
    """An account, a scheduler outside of it, and a user of both."""

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

    def terality(self, *words: str, status: int = 0) -> str:
        """Run a command of the CLI; give what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "terality.cli", *words], env=self.environment, capture_output=True, text=True,
            timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    @property
    def api(self) -> Any:
        return self.scheduler.api(self.key)

    def workload(self, *words: str) -> str:
        """Run queries on the deployment and compare with pandas; give what was said."""
        profile = profiles_of(self)[NAME]
        connect = {
            "TERALITY_DEPLOYMENT": profile["deployment"],
            "TERALITY_STORE": profile["store"],
            "AWS_ENDPOINT_URL_S3": self.account.s3.endpoint,
        }
        done = subprocess.run(
            [sys.executable, "-m", "tests.deploy.workload", *words], env={**self.environment, **connect}, cwd=ROOT,
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def deploy(self, *words: str, status: int = 0) -> str:
        given = ["--name", NAME, "--yes", "--poll-seconds", "0.1", "--architecture", "x86_64", "--idle-seconds", "5"]
        return self.terality("deploy", "aws", *given, *words, "--scheduler-principal", PRINCIPAL, status=status)


def profiles_of(site: Site) -> configparser.ConfigParser:
    """The user's profiles."""
    found = configparser.ConfigParser(interpolation=None, default_section="")
    found.read(site.folder / "home" / "config")
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with cloud(folder) as account:
        own = {"AWS_ACCESS_KEY_ID": OWN[0], "AWS_SECRET_ACCESS_KEY": OWN[1], "AWS_EC2_METADATA_DISABLED": "true"}
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                patch.delenv(name)
            for name, value in own.items():
                patch.setenv(name, value)
            endpoints = ["--aws-endpoint", account.url, "--sts-endpoint", f"{account.url}/"]
            scheduler = Scheduler(folder / "scheduler", *endpoints).start()
        yield Site(account, scheduler, folder)
        scheduler.stop()


def test_a_dry_run_makes_nothing(site: Site):
    said = site.deploy("--dry-run")
    assert "dry run: nothing was made or changed" in said
    assert re.search(r"AWS::S3::Bucket +DataBucket +\(stays when the stack is deleted\)", said)
    assert "start a worker: wake one of the stack's worker functions" in said and "no reason on record" not in said
    assert site.account.client("cloudformation").describe_stacks()["Stacks"] == []
    assert site.account.client("s3").list_buckets()["Buckets"] == []
    assert site.scheduler.api(site.key).get("/v1/deployments")["deployments"] == []


def test_the_template_alone(site: Site):
    assert site.terality("deploy", "aws", "--template-only") == (ROOT / "deploy" / "aws" / "template.yaml").read_text()


@pytest.fixture(scope="module")
def deployed(site: Site) -> str:
    """Deploy, with a first query; give what was said."""
    return site.deploy()


def test_deploy(site: Site, deployed: str):
    assert "change set of terality-demo" in deployed and "CREATE_COMPLETE" in deployed
    assert "smoke query: 200,000 rows in 97 groups, pandas' answer" in deployed
    assert "nothing to change" in site.deploy("--no-smoke")
    (one,) = site.api.get("/v1/deployments")["deployments"]
    health = site.api.get(f"/v1/deployments/{one['id']}/health")
    assert health["role"]["error"] is None and health["status"] in ("ok", "starting")
    said = site.terality("--profile", NAME, "status")
    assert f"store s3://terality-demo-{ACCOUNT}-" in said and "on AWS" in said and "lambda-small" in said
    assert "tasks" in site.terality("--profile", NAME, "usage")


def test_answers_on_bad_days(site: Site, deployed: str):
    """Launch calls throttled, a spot instance taken away with what it held: pandas' answers all the same."""
    throttled = refusal("lambda", "TooManyRequestsException", "Rate Exceeded.", 429)
    site.account.fail(throttled, "lambda", "Invoke", 3)
    taken: list[str] = []

    def take_one() -> None:
        end = time.monotonic() + 120
        while not taken and time.monotonic() < end:
            for machine in site.account.running("ec2")[:1]:
                site.account.interrupt(machine)
                taken.append(machine.name)
            time.sleep(0.1)

    thief = threading.Thread(target=take_one)
    thief.start()
    said = site.workload("--rows", "60000", "--rounds", "1", "--pieces", "3")
    thief.join()
    assert taken and site.account.faults == []
    assert "round 0: 3 answers are pandas'" in said and "3 queries ran on the deployment" in said
    assert site.account.bad == [] and site.account.faults_of_ours == []
    assert site.account.refused == [], "the scheduler asked for what its role may not do"


def test_without_work_nothing_runs(site: Site, deployed: str):
    """And back to zero: functions and tasks end by themselves, instances because the scheduler ends them."""
    group = site.account.client("autoscaling").describe_auto_scaling_groups

    def wanted() -> int:
        return sum(one["DesiredCapacity"] for one in group()["AutoScalingGroups"])

    wait_for(lambda: not site.account.running() and not site.account.busy_functions(), 120)
    # The group may still have one: for what comes in the place of the instance that was taken, five minutes are waited.
    wait_for(lambda: wanted() <= 1, 120)
    assert site.account.bad == [] and site.account.refused == []


def test_destroy(site: Site, deployed: str):
    bucket = profiles_of(site)[NAME]["store"].removeprefix("s3://")
    said = site.terality("destroy", "aws", "--name", NAME, "--yes", "--poll-seconds", "0.1")
    assert "the scheduler on that role: AccessDenied" in said and said.rstrip().endswith("access is gone")
    assert f"your data: s3://{bucket}" in said
    assert site.account.running() == []
    assert site.account.client("cloudformation").describe_stacks()["Stacks"] == []
    assert site.api.get("/v1/deployments")["deployments"] == []
    data = boto3.client("s3", endpoint_url=site.account.s3.endpoint, region_name="us-east-1",
                        aws_access_key_id=KEY, aws_secret_access_key=SECRET)  # fmt: skip
    kept = {one["Key"].split("/")[0] for one in data.list_objects_v2(Bucket=bucket)["Contents"]}
    assert {"keys", "results", "uploads", "audit"} <= kept
