"""From nothing to answers and back, on the stand-ins (standins.py): deploy, run, scale, break, destroy.

Nothing but calls of AWS' API starts a worker here.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator

import pytest

from .aws_double import ACCOUNT, refusal
from .site import NAME, ROOT, Site
from .site import site as running


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("site"), start_scale=0.01, idle_seconds=2) as made:
        yield made


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


def test_destroy(site: Site, deployed: str):
    bucket = site.profiles()[NAME]["store"].removeprefix("s3://")
    said = site.destroy()
    assert "the scheduler on that role: AccessDenied" in said and said.rstrip().endswith("access is gone")
    assert f"your data: s3://{bucket}" in said
    assert site.account.running() == []
    assert site.account.client("cloudformation").describe_stacks()["Stacks"] == []
    assert site.api.get("/v1/deployments")["deployments"] == []
    kept = {key.split("/")[0] for key in site.objects(bucket)}
    assert {"keys", "results", "uploads", "audit"} <= kept
