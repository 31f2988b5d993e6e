"""From nothing to answers and back, on the stand-ins (standins.py): deploy, run, scale, break, destroy.

Nothing but calls of AWS' API starts a worker here.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator

import pytest

from tests.scheduler.daemon import wait_for

from .aws_double import ACCOUNT, refusal
from .site import NAME, ROOT, Site
from .site import site as running


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    # What takes a minute takes seconds: idle ends, and leases of workers that are killed.
    hurry = ("--lease-ms", "6000")
    with running(tmp_path_factory.mktemp("site"), *hurry, start_scale=0.01, idle_seconds=2) as made:
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
    said = site.deploy("--idle-seconds", "2")
    assert "nothing to change" in site.deploy("--no-smoke", "--idle-seconds", "2")
    return said


def test_deploy(site: Site, deployed: str):
    assert "change set of terality-demo" in deployed and "CREATE_COMPLETE" in deployed
    assert "smoke query: 200,000 rows in 97 groups, pandas' answer" in deployed
    (one,) = site.api.get("/v1/deployments")["deployments"]
    health = site.api.get(f"/v1/deployments/{one['id']}/health")
    assert health["role"]["error"] is None and health["status"] in ("ok", "starting")
    said = site.terality("--profile", NAME, "status")
    assert f"store s3://terality-demo-{ACCOUNT}-" in said and "on AWS" in said and "lambda-small" in said
    assert "tasks" in site.terality("--profile", NAME, "usage")


def test_launch_calls_that_are_throttled_or_fail(site: Site, deployed: str):
    site.account.fail(refusal("lambda", "TooManyRequestsException", "Rate Exceeded.", 429), "lambda", "Invoke", 3)
    site.account.fail(refusal("ecs", "ServerException", "Service Unavailable", 500), "ecs", "RunTask", 2)
    said = site.workload("--rows", "60000", "--rounds", "1", "--pieces", "3")
    site.account.heal()  # of the failures that no call has met
    assert "round 0: 3 answers are pandas'" in said and "3 queries ran on the deployment" in said
    assert len([call for call in site.account.calls if call.service == "lambda"]) > 3


def test_a_spot_instance_is_taken_away(site: Site, deployed: str):
    """With the tasks that it holds, at once: others do them, and the answers are pandas'."""
    wait_for(site.at_rest, 300)  # so that an instance must be asked for, and is refused once
    busy = refusal("autoscaling", "ScalingActivityInProgress", "busy")
    site.account.fail(busy, "autoscaling", "SetDesiredCapacity", 1)
    taken: list[str] = []

    def take_one() -> None:
        api, end = site.api, time.monotonic() + 300
        while not taken and time.monotonic() < end:
            known = api.get("/v1/workers", deployment=NAME)["workers"]
            holding = {worker["instance"] for worker in known if worker["leases"]}
            for machine in [machine for machine in site.account.running("ec2") if machine.name in holding][:1]:
                site.account.interrupt(machine)
                taken.append(machine.name)
            time.sleep(0.02)

    thief = threading.Thread(target=take_one)
    with site.only("ec2"):
        thief.start()
        said = site.workload("--rows", "60000", "--rounds", "1", "--pieces", "3")
        thief.join()
    assert taken and site.account.faults == []
    assert "round 0: 3 answers are pandas'" in said
    assert site.account.bad == [] and site.account.faults_of_ours == []
    assert site.account.refused == [], "the scheduler asked for what its role may not do"


def test_from_nobody_to_many_and_back(site: Site, deployed: str):
    """When there is nothing to do nobody is left, and nothing that costs money: no task, no instance."""
    wait_for(site.at_rest, 300)
    assert site.settings()["limits"]["workers"] == 200
    site.workload("--rows", "20000", "--rounds", "1", "--pieces", "2")
    wait_for(site.at_rest, 300)


def slow_functions(site: Site, seconds: int, late: int) -> None:
    """Functions live for so long, and each of their writes takes so many ms more."""
    for function in site.account.functions.functions.values():
        function.environment["TERALITY_STORE_FAULTS"] = f"put:1:late:{late}"
        function.change(timeout=seconds)


def ends(site: Site) -> list[str]:
    """Why invocations have ended."""
    invocations = [one for f in site.account.functions.functions.values() for one in f.invocations if one.done.is_set()]
    return [json.loads(one.result).get("end", "error") for one in invocations]


def test_functions_whose_time_ends_in_the_middle_of_a_task(site: Site, deployed: str):
    """What the first ones have begun and cannot end is handed back, and done by others."""
    wait_for(site.at_rest, 300)
    slow_functions(site, 4, 60000)
    before = ends(site).count("deadline")

    def heal() -> None:
        wait_for(lambda: ends(site).count("deadline") > before, 300)
        slow_functions(site, 900, 0)

    healer = threading.Thread(target=heal)
    with site.only("lambda"):
        healer.start()
        said = site.workload("--rows", "20000", "--rounds", "1", "--pieces", "3")
        healer.join()
    assert "round 0: 3 answers are pandas'" in said
    assert re.search("^terality_tasks_out_of_time_total [1-9]", site.metrics(), re.MULTILINE)


def test_tasks_that_take_longer_than_any_function_lives(site: Site, deployed: str):
    """With nothing but functions the query fails and says why; with another kind it is done there."""
    small = ("--rows", "20000", "--rounds", "1", "--pieces", "2", "--only", "group")
    wait_for(site.at_rest, 300)
    slow_functions(site, 3, 60000)
    with site.only("lambda"):
        said = site.workload(*small, status=1)
    assert "ran in 4 functions until their time was over" in said and "target_rows" in said
    with site.only("lambda", "ecs"):
        said = site.workload(*small)
    assert "round 0: 1 answers are pandas'" in said
    assert site.account.bad == [] and site.account.faults_of_ours == [] and site.account.refused == []
    slow_functions(site, 900, 0)


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
