"""What the API does when all is well, and that the document describes all of it."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from pathlib import Path

import pytest

from .daemon import DOCUMENT, Refused, Scheduler, Tenant, report_of, wait_for


def sources_of(plan: str) -> list:
    """Sources like those the plan was made from, in four pieces each."""
    return [
        {"kind": "parquet" if source["kind"] == "PARQUET" else "block", "rows": [25, 25, 25, 25]}
        for source in json.loads(plan)["sources"]
    ]


def test_public_paths(scheduler):
    nobody = scheduler.api(None)
    assert nobody.get("/healthz")["status"] == "ok"
    assert nobody.get("/v1/openapi.json") == DOCUMENT
    assert "terality_queries_running" in nobody.get("/metrics")


def test_accounts_and_keys(scheduler):
    admin = scheduler.api()
    account = admin.post("/v1/accounts", {"name": "alice"})
    assert "alice" in [a["name"] for a in admin.get("/v1/accounts")["accounts"]]
    first = scheduler.api(account["key"]["key"])
    second = first.post("/v1/keys", {"name": "laptop"})
    third = admin.post("/v1/keys", {"name": "by-admin", "account": "alice"})
    assert {k["name"] for k in first.get("/v1/keys")["keys"]} == {"first", "laptop", "by-admin"}
    assert not any("key" in k for k in first.get("/v1/keys")["keys"])
    other = scheduler.api(second["key"])
    assert len(other.get("/v1/keys")["keys"]) == 3
    assert first.delete(f"/v1/keys/{second['id']}")["revoked"] > 0
    with pytest.raises(Refused, match="revoked_key"):
        other.get("/v1/keys")
    admin.delete(f"/v1/keys/{third['id']}")


def test_deployments(tenant):
    made = tenant.api.post("/v1/deployments", {"name": "second"})
    assert {d["name"] for d in tenant.api.get("/v1/deployments")["deployments"]} == {"main", "second"}
    tenant.api.delete(f"/v1/deployments/{made['id']}")
    assert [d["name"] for d in tenant.api.get("/v1/deployments")["deployments"]] == ["main"]


def test_every_recorded_plan_runs(tenant, plans):
    for name, plan in plans.items():
        sources = sources_of(plan)
        query = tenant.submit(json.loads(plan), sources, target_rows=30, broadcast_rows=-1)
        tenant.work()
        answer = tenant.api.get(f"/v1/queries/{query}")
        assert answer["state"] == "done", (name, answer)
        assert len(answer["result"]) == answer["stages"][-1]["tasks"]
        assert all(stage["done"] == stage["tasks"] for stage in answer["stages"])


def test_a_query_from_the_first_task_to_the_last(tenant, group_plan):
    query = tenant.submit(group_plan, sources_of(group_plan), target_rows=25)
    assert tenant.api.get(f"/v1/queries/{query}")["state"] == "queued"
    plan = tenant.worker.get(f"/v1/queries/{query}/plan")
    assert plan["plan"] == json.loads(group_plan) and plan["manifest"] == "m1"
    capacity = tenant.worker.get("/v1/capacity")
    assert capacity["workers"]["registered"] == 0 and capacity["workers"]["wanted"] == 4
    tasks = tenant.lease()["tasks"]
    assert sorted(task["task"] for task in tasks) == [0, 1, 2, 3]
    assert [task["pieces"] for task in tasks] == [[{"source": 0, "from": i, "to": i + 1}] for i in range(4)]
    assert tenant.api.get(f"/v1/queries/{query}")["state"] == "running"
    assert tenant.api.get("/v1/capacity", deployment="main")["tasks"] == {
        "ready": 0,
        "running": 4,
        "left": tenant.api.get("/v1/capacity", deployment="main")["tasks"]["left"],
    }
    rest = tenant.lease(reports=[report_of(task) for task in tasks])["tasks"]
    assert rest and all(task["stage"] == 1 for task in rest)
    assert rest[0]["inputs"] == [{"stage": 0, "rows": 40, "bytes": 320}]
    tenant.lease(reports=[report_of(task, 3) for task in rest], want=0)
    tenant.work()
    answer = tenant.api.get(f"/v1/queries/{query}")
    assert answer["state"] == "done" and answer["finished"] >= answer["started"] >= answer["created"] > 0
    assert tenant.api.get("/v1/queries")["queries"][0]["query"] == query
    usage = tenant.api.get("/v1/usage")["days"]
    assert usage[0]["queries"] == 1 and usage[0]["tasks"] == sum(s["tasks"] for s in answer["stages"])


def test_long_polls_of_clients(tenant, group_plan):
    query = tenant.submit(group_plan, sources_of(group_plan), target_rows=25)
    seen = tenant.api.get(f"/v1/queries/{query}")["version"]
    begin = time.monotonic()
    assert tenant.api.get(f"/v1/queries/{query}", wait_ms=300, seen=seen)["state"] == "queued"
    assert 0.25 < time.monotonic() - begin < 5
    answers = []

    def watch():
        answers.append(tenant.api.get(f"/v1/queries/{query}", wait_ms=20000))

    thread = threading.Thread(target=watch)
    thread.start()
    time.sleep(0.1)
    tenant.work()
    thread.join(10)
    assert answers[0]["state"] == "done"


def test_long_polls_of_workers(scheduler, tenant, group_plan):
    answers = []

    def wait(name):
        api = scheduler.api(tenant.token)
        answers.append(api.post("/v1/lease", {"worker": name, "want": 4, "wait_ms": 20000}))

    threads = [threading.Thread(target=wait, args=(f"w{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(tenant.api.get("/v1/workers", deployment="main")["workers"]) == 4)
    begin = time.monotonic()
    tenant.submit(group_plan, sources_of(group_plan), target_rows=25)
    for thread in threads:
        thread.join(10)
    assert time.monotonic() - begin < 5
    # Nobody stores up what others wait for.
    assert [len(answer["tasks"]) for answer in answers] == [1, 1, 1, 1]


def test_nothing_is_given_to_a_worker_that_left(scheduler, tenant, group_plan):
    gone = scheduler.api(tenant.token).connect()
    body = json.dumps({"worker": "gone", "want": 4, "wait_ms": 20000})
    gone.request("POST", "/v1/lease", body, {"Authorization": f"Bearer {tenant.token}"})
    wait_for(lambda: tenant.api.get("/v1/workers", deployment="main")["workers"])
    gone.close()
    tenant.submit(group_plan, sources_of(group_plan), target_rows=25)
    wait_for(lambda: len(tenant.lease("here")["tasks"]) in (2, 4))


def test_cancel(tenant, group_plan):
    query = tenant.submit(group_plan, sources_of(group_plan), target_rows=25)
    task = tenant.lease()["tasks"][0]
    assert tenant.api.delete(f"/v1/queries/{query}")["state"] == "cancelled"
    assert tenant.api.delete(f"/v1/queries/{query}")["state"] == "cancelled"
    answer = tenant.lease(running=[task["lease"]], want=0, reports=[report_of(task)])
    assert answer["cancel"] == [task["lease"]]
    assert tenant.lease()["tasks"] == []


def test_failures_reach_the_client_sealed(tenant, group_plan):
    sealed = "a" * 22 + "." + "b" * 60
    query = tenant.submit(group_plan, sources_of(group_plan), target_rows=25)
    task = tenant.lease()["tasks"][0]
    failure = {name: task[name] for name in ("query", "stage", "task", "attempt")}
    tenant.lease(want=0, reports=[{**failure, "ok": False, "class": "ValueError", "sealed": sealed}])
    answer = tenant.api.get(f"/v1/queries/{query}", wait_ms=1000)
    assert answer["state"] == "failed"
    assert answer["error"] == {"class": "ValueError", "sealed": sealed, "stage": 0, "task": task["task"]}


def test_drain(tenant, group_plan):
    tenant.lease("old")
    tenant.api.delete("/v1/workers/old", deployment="main")
    tenant.submit(group_plan, sources_of(group_plan), target_rows=25)
    answer = tenant.lease("old")
    assert answer["drain"] and answer["tasks"] == []
    assert [w["drain"] for w in tenant.worker.get("/v1/workers")["workers"]] == [True]


def test_tls(tmp_path):
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    if made.returncode:
        pytest.skip("openssl makes no certificate here")
    scheduler = Scheduler(
        tmp_path / "data", "--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem")
    )
    scheduler.start()
    assert scheduler.url.startswith("https://")
    api = scheduler.api(None, cafile=str(tmp_path / "cert.pem"))
    assert api.get("/healthz")["status"] == "ok"
    scheduler.stop()


def test_the_document_describes_every_route():
    source = (Path(__file__).resolve().parents[2] / "src" / "scheduler" / "api" / "api.c").read_text()
    routes = {(method.lower(), path) for method, path in re.findall(r'\{"([A-Z]+)", "(/[^"]*)",', source)}
    assert routes == {(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods}


def test_two_tenants_do_not_meet(scheduler, group_plan):
    one, two = Tenant(scheduler, "one"), Tenant(scheduler, "two")
    query = one.submit(group_plan, sources_of(group_plan))
    for method, path in (("GET", f"/v1/queries/{query}"), ("DELETE", f"/v1/queries/{query}")):
        with pytest.raises(Refused, match="404 no_query"):
            two.api.call(method, path)
    with pytest.raises(Refused, match="404 no_query"):
        two.worker.get(f"/v1/queries/{query}/plan")
    with pytest.raises(Refused, match="404 no_deployment"):
        two.api.delete(f"/v1/deployments/{one.deployment}")
    with pytest.raises(Refused, match="404 no_deployment"):
        two.api.get("/v1/capacity", deployment=one.deployment)
    with pytest.raises(Refused, match="404 no_account"):
        two.api.get("/v1/keys", account="one")
    key = one.api.get("/v1/keys")["keys"][0]["id"]
    with pytest.raises(Refused, match="404 no_key"):
        two.api.delete(f"/v1/keys/{key}")
    task = one.lease()["tasks"][0]
    with pytest.raises(Refused, match="404 no_query"):
        two.lease(reports=[report_of(task)])
    assert two.lease(running=[task["lease"]])["cancel"] == [task["lease"]]
    assert two.lease()["tasks"] == [] and two.api.get("/v1/queries")["queries"] == []
    assert one.api.get(f"/v1/queries/{query}")["state"] == "running"
