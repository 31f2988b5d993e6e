"""Alarms, dashboard and scheduler ask for metrics that there are, by the dimensions that they have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from .metric_names import AWS_METRICS, WORKER_METRICS
from .stack import ROOT, VARIANTS, Stack

OWN = {
    dimensions if isinstance(dimensions, tuple) else (dimensions,): names
    for dimensions, names in WORKER_METRICS.items()
}
Asked = tuple[str, str, dict[str, str]]  # namespace, name, dimensions


def of_alarm(alarm: dict[str, Any]) -> Iterator[Asked]:
    """What an alarm looks at; its expressions name nothing else."""
    ids = set()
    for one in alarm.get("Metrics", [{"Id": "m", "MetricStat": {"Metric": alarm}}]):
        ids.add(one["Id"])
        if "MetricStat" in one:
            metric = one["MetricStat"]["Metric"]
            yield metric["Namespace"], metric["MetricName"], {d["Name"]: d["Value"] for d in metric["Dimensions"]}
    for one in alarm.get("Metrics", []):
        assert set(re.findall(r"\b[a-z]+\b", one.get("Expression", ""))) <= ids, alarm["AlarmName"]
    assert sum(one.get("ReturnData", True) for one in alarm.get("Metrics", [{}])) == 1


def of_dashboard(body: str) -> Iterator[Asked]:
    """What the widgets show; "..." stands for what the line before has, "." for one word of it."""
    for widget in json.loads(body)["widgets"]:
        before: list[str] = []
        for line in widget["properties"].get("metrics", []):
            words = [word for word in line if isinstance(word, str)]
            if words[0] == "...":
                words = before[: len(before) - len(words) + 1] + words[1:]
            before = words
            space, name, *pairs = words
            yield space, name, dict(zip(pairs[::2], pairs[1::2], strict=True))


def check(asked: Asked, deployment: str) -> None:
    space, name, dimensions = asked
    if space == "terality":
        assert name in OWN[tuple(dimensions)], asked
        assert dimensions["Deployment"] == deployment, asked
        assert dimensions.get("Kind", "ecs") in ("lambda-small", "lambda-large", "ecs", "ec2"), asked
        return
    names, wanted = AWS_METRICS[space]
    assert name in names and set(dimensions) == wanted, asked


@pytest.mark.parametrize("variant", VARIANTS)
def test_alarms_and_dashboard_show_what_there_is(variant: str):
    stack = Stack(given=VARIANTS[variant])
    asked = [one for alarm in stack.of_type("AWS::CloudWatch::Alarm").values() for one in of_alarm(alarm)]
    asked += of_dashboard(stack.resources["Dashboard"]["Properties"]["DashboardBody"])
    for one in asked:
        check(one, stack.values["DeploymentId"])
    assert {name for space, name, _ in asked if space == "terality"} >= {
        "TaskFailures", "TaskSeconds", "StoreRequests", "StoreRetries", "StoreThrottled",
    }  # fmt: skip


def test_the_alarms_are_five_and_on_the_dashboard():
    stack = Stack()
    alarms = stack.of_type("AWS::CloudWatch::Alarm").values()
    assert {alarm["AlarmName"].removeprefix("terality-demo-") for alarm in alarms} == {
        "throttles", "store-throttled", "store-retries", "failures", "spending",
    }  # fmt: skip
    widgets = json.loads(stack.resources["Dashboard"]["Properties"]["DashboardBody"])["widgets"]
    (shown,) = [widget["properties"]["alarms"] for widget in widgets if widget["type"] == "alarm"]
    assert [arn.rpartition(":")[2] for arn in shown] == [alarm["AlarmName"] for alarm in alarms]
    places = [(w["x"], w["y"]) for w in widgets]
    assert len(set(places)) == len(places)


def test_a_stack_without_id_yet_has_dimensions_all_the_same():
    """CloudWatch takes no empty value; the id comes later when the scheduler is in the stack."""
    stack = Stack(given={**VARIANTS["in account"], "DeploymentId": "", "ExternalId": ""})
    for alarm in stack.of_type("AWS::CloudWatch::Alarm").values():
        assert all(value for _, _, dimensions in of_alarm(alarm) for value in dimensions.values())


def test_the_scheduler_reads_what_there_is():
    text = (ROOT / "src" / "scheduler" / "launch" / "metrics.c").read_text("utf-8")
    lists = dict(re.findall(r"(of_\w+)\[\](?:\[2\])? = \{(.*?)\};", text, re.DOTALL))
    functions = re.findall(r'\{"(\w+)", "\w+"\}', lists["of_functions"])
    workers = re.findall(r'"(\w+)"', lists["of_workers"])
    assert functions and set(functions) <= AWS_METRICS["AWS/Lambda"][0]
    assert workers and set(workers) <= OWN[("Deployment",)]
    assert '"FunctionName", r->functions[f].name' in text and '"Deployment", d->id' in text


def test_the_table_is_the_workers():
    """Lines of a worker are held against it in tests/worker/test_metrics.py; this is the quick look."""
    text = (ROOT / "src" / "worker" / "metrics.c").read_text("utf-8")
    found = {name: total == "true" for name, total in re.findall(r'\{"(\w+)", "\w+", (true|false)\}', text)}
    assert OWN[("Deployment", "Kind")] == set(found)
    assert OWN[("Deployment",)] == {name for name, total in found.items() if total}
