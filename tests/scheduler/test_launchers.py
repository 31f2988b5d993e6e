"""Workers are started and ended through AWS' APIs: what is called, what is believed, what is told of failures."""

from __future__ import annotations

import datetime
import json
import os
import re
import time
from collections import Counter

import pytest

from tests.deploy.aws_double import OWN, Reply, refusal, running

from .daemon import Refused, Scheduler, Tenant, report_of, wait_for
from .test_api import sources_of
from .test_aws_settings import SETTINGS, changed

LAMBDA = changed("ecs", None, changed("ec2", None))
ECS = changed("lambda", None, changed("ec2", None))
EC2 = changed("lambda", None, changed("ecs", None))


@pytest.fixture
def aws(monkeypatch):
    """AWS, and the scheduler's own keys in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", OWN[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", OWN[1])
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    with running() as double:
        yield double
    assert not double.bad or double.skew, double.bad


@pytest.fixture
def scheduler_on(aws, tmp_path):
    """A scheduler that takes the double for AWS."""
    scheduler = Scheduler(tmp_path / "data", "--aws-endpoint", aws.url, "--sts-endpoint", aws.url).start()
    yield scheduler
    scheduler.stop()


@pytest.fixture
def tenant(scheduler_on, aws):
    """A tenant whose role trusts its external id."""
    made = Tenant(scheduler_on, "t")
    external = made.api.get("/v1/deployments/main")["external_id"]
    aws.role("terality-one-scheduler", external_id=external)
    return made


def settle(tenant, settings):
    return tenant.api.call("PUT", "/v1/deployments/main/aws", settings)


def health(tenant):
    return tenant.api.get("/v1/deployments/main/health")


def launcher(tenant, kind):
    """Give what the health says of a kind; of one that was not looked at yet nothing."""
    nothing = {"starting": None, "running": None, "draining": None, "error": None}
    return next((entry for entry in health(tenant)["launchers"] if entry["kind"] == kind), nothing)


def submit(tenant, plan, tasks=40):
    """Give a query whose first stage has so many tasks, each of minutes: any number of workers is worth it."""
    sources = [{**source, "rows": [10**9] * tasks} for source in sources_of(plan)]
    return tenant.submit(plan, sources, target_rows=10**9)


def lease(tenant, name, kind, instance="", **more):
    body = {"worker": name, "kind": kind, "want": 1, "wait_ms": 0, "cores": 1, "memory": 1 << 30, **more}
    if instance:
        body["instance"] = instance
    return tenant.worker.post("/v1/lease", body)


def test_functions_are_woken(tenant, aws, group_plan):
    settle(tenant, LAMBDA)
    wait_for(lambda: health(tenant)["status"] == "ok")
    first = aws.made("sts", "AssumeRole")[0]
    assert first.region == "eu-west-1" and first.parameters["RoleArn"] == SETTINGS["role_arn"]
    assert first.parameters["RoleSessionName"] == f"terality-{tenant.deployment}"
    assert not aws.made("lambda", "Invoke")
    submit(tenant, group_plan)
    calls = wait_for(lambda: aws.made("lambda", "Invoke"))
    assert calls[0].parameters == {"wake": 1}
    assert calls[0].who.endswith("assumed-role/terality-one-scheduler/session")
    assert re.fullmatch("/2015-03-31/functions/terality-one-worker-(small|large)/invocations", calls[0].target)
    kind = "lambda-small" if "small" in calls[0].target else "lambda-large"
    starting = wait_for(lambda: launcher(tenant, kind)["starting"])
    lease(tenant, "w1", kind, "request-1", want=0)
    wait_for(lambda: launcher(tenant, kind)["running"] == 1)
    assert launcher(tenant, kind)["starting"] >= starting - 1
    assert health(tenant)["workers"] == {kind: 1}


def test_not_more_than_wanted(tenant, aws, group_plan):
    """Whoever was called counts until it is seen, so a second look does not call again."""
    settle(tenant, changed("limits.workers", 3, LAMBDA))
    submit(tenant, group_plan)
    wait_for(lambda: len(aws.made("lambda", "Invoke")) == 3)
    for _ in range(20):
        tenant.api.get("/v1/deployments")
        time.sleep(0.05)
    assert len(aws.made("lambda", "Invoke")) == 3 and len(aws.made("sts", "AssumeRole")) == 1


def test_without_work_nothing_is_asked(tenant, aws):
    settle(tenant, LAMBDA)
    wait_for(lambda: health(tenant)["status"] == "ok")
    wait_for(lambda: health(tenant)["metrics"]["state"] == "known")
    time.sleep(1.5)
    assert Counter(call.action for call in aws.calls) == {"AssumeRole": 1, "GetMetricData": 1}


def test_tasks(tenant, aws, group_plan, scheduler_on):
    settle(tenant, changed("limits.workers", 12, ECS))
    query = submit(tenant, group_plan)
    wait_for(lambda: sum(c.parameters["count"] for c in aws.made("ecs", "RunTask")) == 12)
    calls = aws.made("ecs", "RunTask")
    assert sorted(c.parameters["count"] for c in calls)[-1] <= 10
    assert len({c.parameters["clientToken"] for c in calls}) == len(calls)
    p = calls[0].parameters
    assert (p["cluster"], p["taskDefinition"], p["launchType"]) == ("terality-one", "terality-one-worker", "FARGATE")
    assert p["networkConfiguration"] == {
        "awsvpcConfiguration": {
            "subnets": SETTINGS["ecs"]["subnets"],
            "securityGroups": SETTINGS["ecs"]["security_groups"],
            "assignPublicIp": "ENABLED",
        }
    }
    assert "overrides" not in p
    wait_for(lambda: "terality_launches_total 12" in scheduler_on.api(None).get("/metrics"))
    arns = sorted(aws.tasks)
    wait_for(lambda: launcher(tenant, "ecs")["starting"] == 12)
    # After a restart the same twelve are known, and nobody is asked for again.
    scheduler_on.kill()
    scheduler_on.start()
    wait_for(lambda: aws.made("ecs", "DescribeTasks"))
    assert launcher(tenant, "ecs")["starting"] == 12
    for i, arn in enumerate(arns):
        lease(tenant, f"w{i}", "ecs", arn)
    wait_for(lambda: launcher(tenant, "ecs")["running"] == 12)
    assert launcher(tenant, "ecs")["starting"] == 0 and len(aws.tasks) == 12
    # The work is gone: they are told to end, and their tasks are stopped by name.
    tenant.api.delete(f"/v1/queries/{query}")
    settle(tenant, changed("limits.workers", 0, ECS))
    wait_for(lambda: launcher(tenant, "ecs")["draining"] == 12)
    for i, arn in enumerate(arns):
        assert lease(tenant, f"w{i}", "ecs", arn)["drain"]
    wait_for(lambda: len(aws.made("ecs", "StopTask")) == 12)
    assert {c.parameters["task"] for c in aws.made("ecs", "StopTask")} == set(arns)


def test_a_task_that_dies_at_once_is_told(tenant, aws, group_plan):
    settle(tenant, changed("limits.workers", 2, ECS))
    submit(tenant, group_plan)
    wait_for(lambda: len(aws.tasks) == 2)
    for task in list(aws.tasks.values()):
        task |= {"lastStatus": "STOPPED", "stopCode": "TaskFailedToStart", "stoppedReason": "CannotPullContainerError"}
    error = wait_for(lambda: launcher(tenant, "ecs")["error"], 40)
    assert error["code"] == "TaskFailedToStart" and "CannotPullContainerError" in error["message"]


def test_capacity_that_ecs_has_not(tenant, aws, group_plan):
    none = {"tasks": [], "failures": [{"reason": "Capacity is unavailable at this time. Please try again later"}]}
    aws.fail(Reply(200, json.dumps(none).encode(), "application/x-amz-json-1.1"), "ecs", "RunTask")
    settle(tenant, ECS)
    submit(tenant, group_plan)
    error = wait_for(lambda: launcher(tenant, "ecs")["error"])
    assert error["code"] == "Capacity" and "Please try again later" in error["message"]
    aws.heal()
    wait_for(lambda: launcher(tenant, "ecs")["error"] is None and aws.tasks)


def test_another_clusters_task_is_left_alone(tenant, aws, group_plan):
    """A worker may tell any instance; only the deployment's own are ended."""
    settle(tenant, ECS)
    submit(tenant, group_plan)
    foreign = "arn:aws:ecs:eu-west-1:123456789012:task/production/0123456789abcdef"
    lease(tenant, "liar", "ecs", foreign, want=0)
    tenant.api.delete("/v1/workers/liar", deployment="main")
    assert lease(tenant, "liar", "ecs", foreign, want=0)["drain"]
    time.sleep(1.5)
    assert foreign not in {c.parameters["task"] for c in aws.made("ecs", "StopTask")}
    assert all(foreign not in c.parameters["tasks"] for c in aws.made("ecs", "DescribeTasks"))


def test_instances(tenant, aws, group_plan, scheduler_on):
    settle(tenant, changed("limits.workers", 3, EC2))
    query = submit(tenant, group_plan, 90)
    wait_for(lambda: aws.desired)
    call = aws.made("autoscaling", "SetDesiredCapacity")[0]
    assert call.parameters["AutoScalingGroupName"] == "terality-one-workers"
    assert call.parameters["HonorCooldown"] == "false"
    wanted = aws.desired
    names = sorted(aws.instances)
    wait_for(lambda: launcher(tenant, "ec2")["starting"] == wanted)
    for name in names:
        aws.instances[name] = "InService"
        lease(tenant, f"w-{name}", "ec2", name, want=0)
    wait_for(lambda: launcher(tenant, "ec2")["running"] == wanted and launcher(tenant, "ec2")["starting"] == 0, 40)
    # A restarted scheduler asks the group, and does not let it grow.
    scheduler_on.stop()
    scheduler_on.start()
    for name in names:
        lease(tenant, f"w-{name}", "ec2", name, want=0)
    wait_for(lambda: launcher(tenant, "ec2")["running"] == wanted)
    time.sleep(1)
    assert aws.desired == wanted
    # One has a task: it is the last to go, and goes when the task is done.
    task = lease(tenant, f"w-{names[0]}", "ec2", names[0])["tasks"][0]
    settle(tenant, changed("limits.workers", 0, EC2))
    wait_for(lambda: launcher(tenant, "ec2")["draining"] == wanted)
    for name in names:
        held = [task["lease"]] if name == names[0] else []
        assert lease(tenant, f"w-{name}", "ec2", name, want=0, running=held)["drain"]
    wait_for(lambda: set(aws.instances) == {names[0]}, 40)
    assert aws.desired == 1
    lease(tenant, f"w-{names[0]}", "ec2", names[0], want=0, reports=[report_of(task, 1000)])
    wait_for(lambda: not aws.instances, 40)
    assert aws.desired == 0
    assert tenant.api.get(f"/v1/queries/{query}")["stages"][0]["done"] == 1


def test_idle_instances_are_ended(tenant, aws, group_plan):
    """An instance's worker does not end by itself: without work it is told to, and its instance ended."""
    one = {**changed("limits.workers", 1, EC2)}
    one["limits"] = {**one["limits"], "idle_seconds": 2}
    settle(tenant, one)
    query = submit(tenant, group_plan)
    name = wait_for(lambda: sorted(aws.instances))[0]
    aws.instances[name] = "InService"
    task = lease(tenant, "w", "ec2", name)["tasks"][0]
    for _ in range(15):  # it has work
        reply = lease(tenant, "w", "ec2", name, want=0, running=[task["lease"]])
        assert reply["cancel"] == [] and not reply["drain"]
        time.sleep(0.2)
    tenant.api.delete(f"/v1/queries/{query}")
    wait_for(lambda: lease(tenant, "w", "ec2", name, want=0)["drain"], 40)
    wait_for(lambda: not aws.instances, 40)
    assert aws.desired == 0


def test_idle_workers_are_told_to_stay_for_later_stages(tenant, aws, group_plan):
    settle(tenant, changed("limits.workers", 2, changed("lambda.functions.1", None, LAMBDA)))
    query = submit(tenant, group_plan, 2)
    held = [lease(tenant, f"w{i}", "lambda-small", f"r{i}")["tasks"][0] for i in range(2)]
    assert "idle_ms" not in lease(tenant, "w0", "lambda-small", "r0", want=0, running=[held[0]["lease"]])
    done = [report_of(held[1], 1000)]
    lease(tenant, "w1", "lambda-small", "r1", want=0, reports=done)

    def told():
        lease(tenant, "w0", "lambda-small", "r0", want=0, running=[held[0]["lease"]])
        return lease(tenant, "w1", "lambda-small", "r1", want=0).get("idle_ms")

    # Functions end after 2 s; this one stays as long as it would take to have it again: half a second, and a hundredth.
    assert 2000 < wait_for(told) <= 2600
    tenant.api.delete(f"/v1/queries/{query}")
    wait_for(lambda: "idle_ms" not in lease(tenant, "w1", "lambda-small", "r1", want=0))


def test_a_task_that_needs_more_memory_gets_a_larger_function(tenant, aws, group_plan):
    def invoked(size):
        return sum(call.target.endswith(f"-{size}/invocations") for call in aws.made("lambda", "Invoke"))

    settle(tenant, changed("limits.workers", 3, LAMBDA))
    submit(tenant, group_plan, 2)
    wait_for(lambda: invoked("small") == 2)
    task = lease(tenant, "w", "lambda-small", "r", memory=1061 << 20)["tasks"][0]
    assert not invoked("large")
    failed = {name: task[name] for name in ("query", "stage", "task", "attempt")}
    failed |= {"ok": False, "class": "MemoryError", "retry": True}
    lease(tenant, "w", "lambda-small", "r", memory=1061 << 20, want=0, reports=[failed])
    wait_for(lambda: invoked("large") == 1)
    # The small one gets the other task, and no more.
    other = lease(tenant, "w", "lambda-small", "r", memory=1061 << 20)["tasks"][0]
    assert other["task"] != task["task"]
    more = {"memory": 1061 << 20, "running": [other["lease"]]}
    assert lease(tenant, "w", "lambda-small", "r", **more)["tasks"] == []
    again = lease(tenant, "large", "lambda-large", "r2", memory=6144 << 20)["tasks"][0]
    assert (again["task"], again["attempt"]) == (task["task"], task["attempt"] + 1)


def test_a_group_that_is_not_there(tenant, aws, group_plan):
    empty = b"<R><DescribeAutoScalingGroupsResult><AutoScalingGroups/></DescribeAutoScalingGroupsResult></R>"
    aws.fail(Reply(200, empty), "autoscaling")
    settle(tenant, EC2)
    error = wait_for(lambda: launcher(tenant, "ec2")["error"])
    assert error["code"] == "NoGroup"
    assert wait_for(lambda: health(tenant)["status"] == "failing")
    aws.heal()
    wait_for(lambda: health(tenant)["status"] == "ok")


def test_throttling_passes(tenant, aws, group_plan):
    aws.fail(refusal("lambda", "TooManyRequestsException", "Rate Exceeded.", 429), "lambda", times=3)
    settle(tenant, changed("limits.workers", 2, LAMBDA))
    submit(tenant, group_plan)
    wait_for(lambda: len(aws.made("lambda", "Invoke")) == 5)
    assert all(entry["error"] is None for entry in health(tenant)["launchers"])


def test_a_launcher_that_fails_is_told_and_tried_rarely(tenant, aws, group_plan, scheduler_on):
    text = "User: x is not authorized to perform: lambda:InvokeFunction"
    aws.fail(refusal("lambda", "AccessDeniedException", text, 403), "lambda")
    settle(tenant, changed("lambda.functions.1", None, LAMBDA))
    query = submit(tenant, group_plan)
    entry = wait_for(lambda: next((e for e in health(tenant)["launchers"] if e["error"]), None))
    assert entry["error"]["code"] == "AccessDeniedException" and text in entry["error"]["message"]
    assert entry["error"]["since"] > 0 and health(tenant)["status"] in ("degraded", "failing")
    assert "AccessDeniedException" in scheduler_on.said()
    before = -1
    while before != len(aws.made("lambda", "Invoke")):  # those that were under way when the first was refused
        before = len(aws.made("lambda", "Invoke"))
        time.sleep(0.5)
    time.sleep(3)
    assert len(aws.made("lambda", "Invoke")) - before <= 8
    assert "terality_deployments_failing 1" in scheduler_on.api(None).get("/metrics")
    # No work is lost: a worker from elsewhere does it.
    tenant.work("w-local", rows=1)
    assert tenant.api.get(f"/v1/queries/{query}")["state"] == "done"


def test_the_role_is_gone(tenant, aws, group_plan):
    settle(tenant, LAMBDA)
    wait_for(lambda: health(tenant)["status"] == "ok")
    aws.roles.clear()
    aws.keys = {OWN[0]: (OWN[1], None)}  # deleted with the role: the session's keys are no good any more
    aws.owners = {OWN[0]: "arn:aws:iam::123456789012:user/scheduler"}
    submit(tenant, group_plan)
    error = wait_for(lambda: health(tenant)["role"]["error"])
    assert error["code"] == "AccessDenied" and "sts:AssumeRole" in error["message"]
    assert health(tenant)["status"] == "failing"
    before = len(aws.made("sts", "AssumeRole"))
    time.sleep(3)
    assert len(aws.made("sts", "AssumeRole")) - before <= 3
    # The stack is there again.
    aws.role("terality-one-scheduler", external_id=tenant.api.get("/v1/deployments/main")["external_id"])
    wait_for(lambda: aws.made("lambda", "Invoke"), 60)
    assert health(tenant)["role"]["error"] is None
    aws.bad.clear()


def test_the_external_id_is_what_the_role_asks_for(scheduler_on, aws):
    tenant = Tenant(scheduler_on, "t")
    aws.role("terality-one-scheduler", external_id="of another deployment")
    settle(tenant, LAMBDA)
    assert wait_for(lambda: health(tenant)["role"]["error"])["code"] == "AccessDenied"


def test_no_credentials_of_its_own(aws, tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    scheduler = Scheduler(tmp_path / "data", "--aws-endpoint", aws.url).start()
    tenant = Tenant(scheduler, "t")
    settle(tenant, LAMBDA)
    error = wait_for(lambda: health(tenant)["role"]["error"])
    assert error["code"] == "NoCredentials" and health(tenant)["status"] == "failing"
    scheduler.stop()


@pytest.mark.parametrize("hours", [-3, 2])
def test_a_clock_that_is_wrong(tenant, aws, group_plan, hours):
    aws.skew = datetime.timedelta(hours=hours)
    settle(tenant, LAMBDA)
    submit(tenant, group_plan)
    wait_for(lambda: aws.made("lambda", "Invoke"))
    assert health(tenant)["status"] == "ok"
    # Learnt once: no call after the first is refused.
    assert len(aws.bad) <= 2, aws.bad


def test_sessions_that_end_early(tenant, aws, group_plan):
    settle(tenant, changed("limits.workers", 1, LAMBDA))
    wait_for(lambda: health(tenant)["status"] == "ok")
    aws.fail(refusal("lambda", "ExpiredTokenException", "The security token included in the request is expired", 403),
             "lambda", times=1)  # fmt: skip
    submit(tenant, group_plan)
    wait_for(lambda: len(aws.made("sts", "AssumeRole")) == 2)
    wait_for(lambda: len(aws.made("lambda", "Invoke")) >= 2)


def test_servers_that_break(tenant, aws, group_plan):
    aws.fail(Reply(500, b"<html>"), times=2)
    aws.fail(Reply(503, b""), times=1)
    settle(tenant, LAMBDA)
    submit(tenant, group_plan)
    wait_for(lambda: aws.made("lambda", "Invoke"))
    wait_for(lambda: health(tenant)["status"] == "ok")


def test_aws_is_not_there(tmp_path, aws, group_plan):
    scheduler = Scheduler(tmp_path / "none", "--aws-endpoint", "http://127.0.0.1:1").start()
    tenant = Tenant(scheduler, "t")
    settle(tenant, LAMBDA)
    submit(tenant, group_plan)
    assert tenant.work(rows=1) > 40
    error = wait_for(lambda: health(tenant)["role"]["error"], 60)
    assert error["code"] == "Connection" and "sts AssumeRole" in error["message"]
    scheduler.stop()


def test_metrics_are_read_back(tenant, aws):
    aws.metrics = {
        "terality-one-worker-small/Errors": [2.0, 1.0],
        "terality-one-worker-small/Throttles": [5.0],
        f"{tenant.deployment}/TaskSeconds": [12.5],
        f"{tenant.deployment}/StoreThrottled": [4.0],
        "another-deployment/TaskSeconds": [99.0],
    }
    settle(tenant, LAMBDA)
    known = wait_for(lambda: (h := health(tenant)["metrics"])["state"] == "known" and h)
    values = {(v["kind"], v["name"]): v["value"] for v in known["values"]}
    assert values[("lambda-small", "Errors")] == 3 and values[("lambda-small", "Throttles")] == 5
    assert (
        values[("", "TaskSeconds")] == 12.5
        and values[("", "StoreThrottled")] == 4
        and ("lambda-large", "Errors") not in values
    )
    p = aws.made("monitoring", "GetMetricData")[0].parameters
    start, end = (datetime.datetime.fromisoformat(p[name]) for name in ("StartTime", "EndTime"))
    assert (end - start).total_seconds() == 300
    spaces = {value for name, value in p.items() if name.endswith("Metric.Namespace")}
    assert spaces == {"AWS/Lambda", "terality"}


def test_metrics_that_are_denied(tenant, aws):
    aws.fail(refusal("monitoring", "AccessDenied", "not authorized", 403), "monitoring")
    settle(tenant, LAMBDA)
    metrics = wait_for(lambda: (h := health(tenant)["metrics"])["state"] == "failing" and h)
    assert metrics["error"]["code"] == "AccessDenied" and health(tenant)["status"] == "ok"


def test_health_without_aws(tenant):
    value = health(tenant)
    assert value["status"] == "no_aws" and value["launchers"] == [] and "role" not in value
    lease(tenant, "w1", "local")
    assert health(tenant)["workers"] == {"local": 1}


def test_settings_that_change_under_way(tenant, aws, group_plan):
    settle(tenant, LAMBDA)
    submit(tenant, group_plan)
    for i in range(10):
        settle(tenant, (ECS, LAMBDA, EC2)[i % 3])
        time.sleep(0.05)
    tenant.api.delete("/v1/deployments/main/aws")
    assert health(tenant)["status"] == "no_aws"
    time.sleep(0.5)
    before = len(aws.calls)
    time.sleep(1.5)
    assert len(aws.calls) == before
    with pytest.raises(Refused, match="busy"):
        tenant.api.delete("/v1/deployments/main")


def test_kills_while_workers_are_started(tenant, aws, group_plan, scheduler_on):
    settle(tenant, changed("limits.workers", 20, SETTINGS))
    query = submit(tenant, group_plan)
    for _ in range(4):
        time.sleep(0.3)
        scheduler_on.kill()
        scheduler_on.start()
    wait_for(lambda: tenant.work(rows=1) or tenant.api.get(f"/v1/queries/{query}")["state"] == "done", 60)
    wait_for(lambda: (tenant.work(rows=1), tenant.api.get(f"/v1/queries/{query}")["state"])[1] == "done", 60)


@pytest.mark.parametrize("url", ["ftp://x", "nowhere", "http://example.com", "https://"])
def test_endpoints_that_are_none(tmp_path, url):
    from .test_daemon import run

    done = run("--data", str(tmp_path / "x"), "--aws-endpoint", url)
    assert done.returncode == 2 and "--aws-endpoint" in done.stderr
