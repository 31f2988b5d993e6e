"""The line of metrics per task, held against CloudWatch's embedded metric format."""

from __future__ import annotations

import json

import jsonschema
import pyarrow.parquet
import pytest
from pandas.testing import assert_frame_equal

from tests.deploy.metric_names import WORKER_METRICS
from tests.scheduler.daemon import wait_for

from .test_worker import PROGRAMS, answer, in_background

# From "Specification: Embedded metric format" in AWS' documentation.
UNITS = ["Seconds", "Microseconds", "Milliseconds", "Bytes", "Kilobytes", "Megabytes", "Count", "Percent", "None"]
NAME = {"type": "string", "minLength": 1, "maxLength": 1024}
METRIC = {
    "type": "object",
    "required": ["Name"],
    "properties": {"Name": NAME, "Unit": {"enum": UNITS}, "StorageResolution": {"enum": [1, 60]}},
    "additionalProperties": False,
}
DIRECTIVE = {
    "type": "object",
    "required": ["Namespace", "Dimensions", "Metrics"],
    "properties": {
        "Namespace": NAME,
        "Dimensions": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "array", "maxItems": 30, "items": {"type": "string", "minLength": 1, "maxLength": 250}},
        },
        "Metrics": {"type": "array", "minItems": 1, "maxItems": 100, "items": METRIC},
    },
}
SCHEMA = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer"},
                "CloudWatchMetrics": {"type": "array", "items": DIRECTIVE},
            },
        }
    },
}


def lines(cluster) -> list[dict]:
    """Give the lines so far, each looked at as CloudWatch would."""
    found = [json.loads(line) for line in cluster.said().splitlines() if line.startswith("{")]
    for line in found:
        jsonschema.validate(line, SCHEMA)
        for directive in line["_aws"]["CloudWatchMetrics"]:
            for metric in directive["Metrics"]:
                assert isinstance(line[metric["Name"]], int | float)
            names = {name for names in directive["Dimensions"] for name in names}
            for name in names:
                assert isinstance(line[name], str) and 0 < len(line[name]) <= 1024
            # Each value of a dimension is paid for: only what is few may be one.
            assert names <= {"Deployment", "Kind"}
    return found


def test_lines_are_metrics(cluster, path, table):
    cluster.worker("--metrics", "--kind", "test")
    cluster.connect()
    assert_frame_equal(answer("groups", path), PROGRAMS["groups"](table))
    found = lines(cluster)
    assert len(found) >= 5 and not any(line["TaskFailures"] for line in found)
    assert {(line["Deployment"], line["Kind"]) for line in found} == {(cluster.tenant.deployment, "test")}
    assert sum(line["TaskRows"] for line in found) > 0
    # A folder is asked for nothing over the network.
    assert {line["StoreRequests"] for line in found} == {0}
    directives = found[0]["_aws"]["CloudWatchMetrics"]
    assert [directive["Dimensions"] for directive in directives] == [[["Deployment"]], [["Deployment", "Kind"]]]
    totals, each = ({metric["Name"] for metric in directive["Metrics"]} for directive in directives)
    assert totals == WORKER_METRICS["Deployment"] and each == WORKER_METRICS["Deployment", "Kind"]


def test_a_failure_is_counted(cluster, path, table):
    cluster.connect()
    wait = in_background(lambda: answer("groups", path))
    wait_for(lambda: cluster.tenant.api.get("/v1/queries")["queries"])
    pyarrow.parquet.write_table(pyarrow.table({"k": [1], "v": [0.5], "s": ["a"]}), path)
    cluster.worker("--metrics")
    with pytest.raises(OSError, match="was changed since"):
        wait()
    failed = [line for line in lines(cluster) if line["TaskFailures"]]
    assert failed and {line["Class"] for line in failed} == {"OSError"}
    # The text of the error is the account's own, and may hold names of its data: it is not in the line.
    assert not any("t.parquet" in json.dumps(line) for line in failed)
