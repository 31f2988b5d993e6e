"""What queries cost on AWS, estimated, as clients see it; and the cap on it."""

from __future__ import annotations

import json
import time

import pytest

from .daemon import Tenant, report_of, wait_for
from .test_aws_settings import changed

# A function of 1,769 MB on arm64: $0.0000133334 a GB-second. A GET costs $0.0004 a thousand, a PUT $0.005.
LAMBDA_SECOND = 1769 / 1024 * 0.0000133334


def submit(tenant: Tenant, group_plan: str) -> tuple[str, list[dict]]:
    """A query on four workers that are functions, and their tasks: one piece each."""
    n = len(json.loads(group_plan)["sources"]) if isinstance(group_plan, str) else len(group_plan["sources"])
    query = tenant.submit(group_plan, [{"kind": "parquet", "rows": [25] * 4}] * n, target_rows=25)
    return query, tenant.lease("f1", kind="lambda-small", cores=1)["tasks"]


def with_seconds(task: dict, seconds: float) -> dict:
    return {**report_of(task), "seconds": seconds}


def test_a_query_tells_what_it_cost(tenant, group_plan):
    query, tasks = submit(tenant, group_plan)
    reports = [with_seconds(task, 10) for task in tasks]
    rest = tenant.lease("f1", reports=reports, kind="lambda-small", cores=1)["tasks"]
    expected = len(tasks) * (10 * LAMBDA_SECOND + 0.4e-6 + 2 * 5e-6)
    answer = tenant.api.get(f"/v1/queries/{query}")
    assert answer["cost_usd"] == pytest.approx(expected, abs=2e-5)  # and what has run of the next stage
    assert (answer["s3_gets"], answer["s3_puts"]) == (len(tasks), 2 * len(tasks))
    tenant.lease("f1", want=0, kind="lambda-small", cores=1, reports=[with_seconds(task, 0) for task in rest])
    answer = tenant.api.get(f"/v1/queries/{query}")
    while answer["state"] != "done":
        tasks = tenant.lease("f1", kind="lambda-small", cores=1)["tasks"]
        tenant.lease("f1", want=0, kind="lambda-small", cores=1, reports=[with_seconds(task, 0) for task in tasks])
        answer = tenant.api.get(f"/v1/queries/{query}")
    listed = tenant.api.get("/v1/queries")["queries"][0]
    usage = tenant.api.get("/v1/usage")["days"][0]
    assert listed["cost_usd"] == usage["cost_usd"] == answer["cost_usd"]
    assert answer["cost_usd"] == pytest.approx(expected, abs=2e-5)


def test_workers_elsewhere_cost_nothing(tenant, group_plan):
    query = tenant.submit(group_plan, [{"kind": "parquet", "rows": [25] * 4}], target_rows=25)
    tenant.work()
    answer = tenant.api.get(f"/v1/queries/{query}")
    assert (answer["state"], answer["cost_usd"], answer["s3_gets"]) == ("done", 0, 0)
    assert tenant.api.get("/v1/capacity", deployment="main")["cost"] == {"usd_last_hour": 0}


def test_the_hour_counts_idle_workers_too(tenant, scheduler):
    begin = time.monotonic()

    def hour() -> float:
        tenant.lease("idle", want=0, kind="lambda-large", cores=6)
        return tenant.api.get("/v1/capacity", deployment="main")["cost"]["usd_last_hour"]

    wait_for(lambda: hour() > 0)
    most = (time.monotonic() - begin + 2) * 10 * 0.0000133334  # 10 GB
    assert 0 < hour() <= most
    metrics = {
        name: float(value)
        for name, value in (
            line.split() for line in scheduler.api(None).get("/metrics").splitlines() if line.startswith("terality_")
        )
    }
    assert metrics["terality_spend_usd_last_hour"] > 0
    assert metrics["terality_cost_usd_total"] >= 0


def test_a_query_over_its_cap_fails(tenant, group_plan):
    settings = changed("limits.usd_per_query", 0.001)
    tenant.api.call("PUT", "/v1/deployments/main/aws", settings)
    query, tasks = submit(tenant, group_plan)
    tenant.lease("f1", want=0, kind="lambda-small", cores=1, reports=[with_seconds(tasks[0], 100)])
    wait_for(lambda: tenant.api.get(f"/v1/queries/{query}")["state"] == "failed")
    answer = tenant.api.get(f"/v1/queries/{query}")
    assert answer["error"]["class"] == "SpendCapError"
    assert "cap of its deployment is $0.001 a query" in answer["error"]["message"]
    assert answer["cost_usd"] >= 100 * LAMBDA_SECOND
