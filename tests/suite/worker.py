"""One process of the suite: runs some test files under pytest and writes what happened, event by event.

Started by path with one argument, a JSON job (see `pool.Job`). Events are JSON lines, each written with one system
call, so that the pool knows after a crash or a hang which test was running. Nothing here may import pandas before the
preloads have run.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import zlib
from collections.abc import Generator
from typing import Any

import pytest


def chosen(node_id: str, share: float) -> bool:
    """Tell whether a test belongs to the sample: a fixed pseudo-random choice by its node id."""
    return share >= 1.0 or zlib.crc32(node_id.encode()) < share * 2**32


class Recorder:
    """The pytest plugin that samples, skips what is done already, and writes events."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        self.events = os.open(job["events"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self.done = set(job["done"])
        self.failure = ""
        self.outcome = ""

    def write(self, **event: Any) -> None:
        os.write(self.events, (json.dumps(event) + "\n").encode())

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self) -> None:
        from hypothesis import HealthCheck, settings

        settings.register_profile(
            "suite", derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        settings.load_profile("suite")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        share = self.job["sample"]
        keep = [i for i in items if chosen(node := short_id(i.nodeid), share) and node not in self.done]
        items[:] = keep
        self.write(event="collected", count=len(keep))  # a sign of life

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.write(event="end", id=short_id(report.nodeid), outcome="failed", message=message_of(report.longrepr))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.failure, self.outcome = "", "passed"
        self.write(event="start", id=short_id(nodeid))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.failed and call.excinfo is not None and call.excinfo.traceback:
            last = call.excinfo.traceback[-1]  # hidden frames included: the report shows the test's own line
            text = "" if last.frame.code.fullsource is None else str(last.statement).strip()  # compiled code has none
            report.raised = f"{'/'.join(str(last.path).rsplit('/', 2)[1:])}:{last.lineno + 1} `{text}`"[:160]
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.outcome = "failed"
            self.failure = self.failure or message_of(report.longrepr, getattr(report, "raised", ""))
        elif report.skipped and self.outcome == "passed":
            self.outcome = "xfailed" if hasattr(report, "wasxfail") else "skipped"

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.write(event="end", id=short_id(nodeid), outcome=self.outcome, message=self.failure)


def short_id(node_id: str) -> str:
    """The node id without the name of the tree's package."""
    return node_id.removeprefix("pandas_suite/tests/")


def message_of(longrepr: object, raised: str = "") -> str:
    """The first lines of an error, the line of the test, and where it was raised."""
    crash = getattr(longrepr, "reprcrash", None)
    if crash is None:
        return str(longrepr).strip()[-400:]
    where = "/".join(str(crash.path).rsplit("/", 3)[1:])
    lines = [line for line in str(crash.message).splitlines() if line.strip()]
    return f"{' | '.join(lines[:3])[:400]}  [{where}:{crash.lineno}, raised at {raised}]"


def counters(module: str) -> dict[str, list[int]] | None:
    """The engine's own count of calls: name -> [native, fallback]; None when there is no engine to ask."""
    engine = sys.modules.get(module)
    own = getattr(engine, "_suite_counters", None)
    if own is not None:
        return {str(k): [int(v[0]), int(v[1])] for k, v in own().items()}
    report = getattr(engine, "report", None)
    if report is None:
        return None
    total = report()
    return {"all": [int(total.native), int(total.fallback)]}


def main(path: str) -> int:
    """Run one job; the exit code is pytest's."""
    with open(path, encoding="utf-8") as file:
        job = json.load(file)
    sys.path[:] = [p for p in sys.path if os.path.abspath(p or ".") != os.path.dirname(os.path.abspath(__file__))]
    for name in job["preload"]:
        module, _, function = name.partition(":")
        loaded = importlib.import_module(module)
        if function:
            getattr(loaded, function)()
    recorder = Recorder(job)
    files = [os.path.join(job["tree"], "pandas_suite", "tests", f) for f in job["files"]]
    marks = " and ".join(f"not {m}" for m in job["marks_left_out"])
    options = ["-q", "--no-header", "--no-summary", "--tb=line", "-p", "no:cacheprovider", "--no-strict-data-files"]
    options += [
        "--continue-on-collection-errors",
        "-p",
        "no:xdist",
        "--rootdir",
        job["tree"],
        "-c",
        os.path.join(job["tree"], "pytest.ini"),
        "-m",
        marks,
    ]
    code = pytest.main([*options, *files], plugins=[recorder])
    for name in {job["module"], *(p.partition(":")[0] for p in job["preload"])} - {"pandas"}:
        count = counters(name)
        if count is not None:
            recorder.write(event="counters", counters=count)
    if code == pytest.ExitCode.INTERNAL_ERROR:  # pytest itself broke over a test: as good as a crash, the rest goes on
        return int(code)
    recorder.write(event="finished", code=int(code))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
