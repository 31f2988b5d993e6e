"""Runs of a query while something goes wrong, one scenario each; the answer must be pandas' or a clear error.

Three kinds: a worker or the scheduler is killed at a step of a commit (kill_at.c counts the steps), the way to the
object store is bad (toxiproxy, an HTTP proxy of our own), operations of the store fail inside the workers (the fault
filter). A run lasts a few seconds; whatever the outcome, no task may be committed twice and nothing be left running.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import terality
from terality import _engine

from tests.scheduler.daemon import wait_for
from tests.store import servers
from tests.worker.cluster import Cluster

from .proxy import Exchange, Proxy

ROWS = 2_000
FOLDER = Path(__file__).resolve().parent


@dataclass
class Scenario:
    """What goes wrong.

    Attributes
    ----------
    worker, scheduler : str
        KILL_AT of the first worker, of the scheduler.
    s3 : bool
        The store is a bucket of a real server; else a folder.
    rule : function, optional
        Of an HTTP proxy between workers and S3.
    toxics : tuple
        Pairs (kind, attributes) between workers and S3.
    faults : str
        TERALITY_STORE_FAULTS of all workers.
    outage : float
        S3 refuses connections for so many seconds in the middle.
    may_fail : bool
        A clear error is as good as the answer.
    """

    name: str
    worker: str = ""
    scheduler: str = ""
    s3: bool = False
    rule: Callable[[Exchange], str] | None = None
    toxics: tuple[tuple[str, dict[str, Any]], ...] = ()
    faults: str = ""
    outage: float = 0.0
    may_fail: bool = False


@dataclass
class Outcome:
    """How a run ended: "equal", "error" (a clear one, where that is allowed), or what is wrong."""

    scenario: Scenario
    verdict: str
    seconds: float
    killed: int = 0
    detail: str = ""
    good: bool = field(init=False)

    def __post_init__(self) -> None:
        self.good = self.verdict in ("equal", "error")


def table() -> pandas.DataFrame:
    rng = np.random.default_rng(11)
    texts = pandas.array(rng.choice(["a", "bb", "ccc", "dddd"], ROWS), dtype="str")
    return pandas.DataFrame({"k": rng.integers(0, 30, ROWS), "v": rng.integers(0, 10**6, ROWS), "s": texts})


def program(t: Any) -> Any:
    """Stages of every kind: states by key, an exchange by hash, one by ranges, a result."""
    sums = t.groupby(["k", "s"], as_index=False)["v"].sum()
    return t.merge(sums, on=["k", "s"], suffixes=("", "_sum")).sort_values(["v_sum", "v"], kind="stable")


def every(n: int, fault: str, method: str = "", part: str = "") -> Callable[[Exchange], str]:
    """Give a rule that harms every n-th request of a method whose target holds `part`."""
    seen = Counter[str]()
    lock = threading.Lock()

    def rule(exchange: Exchange) -> str:
        if method not in ("", exchange.method) or part not in exchange.target:
            return ""
        with lock:
            seen["all"] += 1
            return fault if seen["all"] % n == 0 else ""

    return rule


def scenarios() -> list[Scenario]:
    """All of them; the order is that of the steps."""
    found = []
    # A worker on a folder: an object gets its name by rename, a commit by link; then the report is sent.
    for step, part, counts in (
        ("link", ":/commit/", (1, 2)),
        ("rename", ":/shuffle/", (1, 2)),
        ("send", "", (2, 3, 4)),
    ):
        for n in counts:
            for when in ("before", "after"):
                rule = f"{step}:{n}:{when}{part}"
                found.append(Scenario(f"worker killed {when} {step}{part} number {n}", worker=rule))
    # A worker on S3: every request is a send.
    for n in (3, 5, 6, 7, 8, 9, 11):
        found.append(Scenario(f"worker on S3 killed before send {n}", worker=f"send:{n}:before", s3=True))
        found.append(Scenario(f"worker on S3 killed after send {n}", worker=f"send:{n}:after", s3=True))
    # The scheduler: a turn is on disk by fdatasync, what it says leaves by sendmsg.
    for n in (4, 5, 6, 7):
        for when in ("before", "after"):
            found.append(Scenario(f"scheduler killed {when} fdatasync {n}", scheduler=f"fdatasync:{n}:{when}"))
    for call, counts in (("pwrite64", (9, 14, 20, 27)), ("sendmsg", (3, 5, 8))):
        for n in counts:
            found.append(Scenario(f"scheduler killed before {call} {n}", scheduler=f"{call}:{n}:before"))
    found.append(Scenario("both killed", worker="link:1:after:/commit/", scheduler="fdatasync:5:after"))
    # Answers of S3.
    for fault in ("500", "503", "truncate", "drop", "lost"):
        found.append(Scenario(f"S3: {fault}, every ninth", s3=True, rule=every(9, fault)))
    found.append(Scenario("S3: slow, every thirtieth", s3=True, rule=every(30, "slow")))
    found.append(Scenario("S3: answers to commits lost", s3=True, rule=every(3, "lost", "PUT", "/commit/")))
    found.append(Scenario("S3: 503 to all reads", s3=True, rule=every(1, "503", "GET", "/shuffle/"), may_fail=True))
    # The network.
    for name, toxic, attributes in (
        ("150 ms late", "latency", {"latency": 150, "jitter": 50}),
        ("200 kB/s", "bandwidth", {"rate": 200}),
        ("reset, three of ten connections", "reset_peer", {"timeout": 300, "toxicity": 0.3}),
        ("ends after 9 kB, four of ten connections", "limit_data", {"bytes": 9000, "toxicity": 0.4}),
        ("crumbs", "slicer", {"average_size": 64, "size_variation": 32, "delay": 10}),
    ):
        found.append(Scenario(f"network: {name}", s3=True, toxics=((toxic, attributes),)))
    found.append(Scenario("network: away for two seconds", s3=True, outage=2.0))
    # Inside the workers.
    for faults in (
        "read:7:fail,stat:3:fail", "read:4:short", "put:2:fail,part:2:fail", "put:2:lost,part:2:lost", "any:5:fail",
        "any:5:late:100", "list:1:fail,read:5:lost",
    ):  # fmt: skip
        found.append(Scenario(f"fault filter {faults}", faults=faults, may_fail="fail" in faults or "lost" in faults))
        found.append(Scenario(f"fault filter on S3 {faults}", faults=faults, s3=True))
    return found


def preloaded(rule: str, library: str) -> dict[str, str]:
    return {"LD_PRELOAD": library, "KILL_AT": rule} if rule else {}


@contextlib.contextmanager
def killer() -> Iterator[str]:
    """Give the path of the library that kills, compiled."""
    with tempfile.TemporaryDirectory(prefix="kill-at-") as folder:
        library = f"{folder}/kill_at.so"
        compiler = os.environ.get("CC", "cc").split()
        subprocess.run([*compiler, "-O1", "-shared", "-fPIC", "-o", library, FOLDER / "kill_at.c", "-ldl"], check=True)
        yield library


class Runner:
    """Runs scenarios, one after another; the S3 server is theirs in common."""

    def __init__(self, library: str, server: servers.Server | None):
        self.library, self.server = library, server
        self.number = 0
        self.expected = program(table()).reset_index(drop=True)

    def run(self, scenario: Scenario) -> Outcome:
        begin = time.monotonic()
        self.number += 1
        try:
            with contextlib.ExitStack() as running:
                folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="fault-run-")))
                verdict, killed, detail = self._run(scenario, folder, running)
        except Exception:
            verdict, killed, detail = "broken run", 0, traceback.format_exc()
        return Outcome(scenario, verdict, time.monotonic() - begin, killed, detail)

    def _store(self, scenario: Scenario, running: contextlib.ExitStack) -> tuple[str | None, dict[str, str], Any]:
        """Give the store's URL, what workers must have in their environment, and the network if there is one."""
        if not scenario.s3:
            return None, {}, None
        assert self.server is not None
        url, network, settings = f"s3://tables/run{self.number}", None, dict(self.server.environment)
        if scenario.rule:
            settings["AWS_ENDPOINT_URL"] = running.enter_context(Proxy(self.server.endpoint, scenario.rule)).url
        elif scenario.toxics or scenario.outage:
            network = running.enter_context(servers.toxiproxy(self.server.endpoint))
            settings["AWS_ENDPOINT_URL"] = network.url
            for kind, attributes in scenario.toxics:
                network.toxic(kind, **attributes)
        return url, settings, network

    def _run(self, scenario: Scenario, folder: Path, running: contextlib.ExitStack) -> tuple[str, int, str]:
        url, settings, network = self._store(scenario, running)
        settings["TERALITY_THREADS"] = "1"
        if self.server and scenario.s3:
            os.environ.update(self.server.environment)  # the client's own way to the bucket is a good one
        if scenario.faults:
            settings["TERALITY_STORE_FAULTS"] = scenario.faults
        cluster = Cluster(folder, url)
        running.callback(cluster.stop)
        cluster.connect(target_rows=250, broadcast_rows=-1)
        table().to_parquet(folder / "t.parquet", row_group_size=250)
        killed = 0
        if scenario.scheduler:
            cluster.scheduler.stop()
            try:
                cluster.scheduler.start(**preloaded(scenario.scheduler, self.library))
            except AssertionError:  # killed before it had said where it listens
                cluster.scheduler.process, killed = None, 1
                cluster.scheduler.start()
        cluster.worker(**settings, **preloaded(scenario.worker, self.library))
        answer: dict[str, Any] = {}
        thread = threading.Thread(target=self._ask, args=(folder, answer), daemon=True)
        thread.start()
        if scenario.worker and not scenario.scheduler:  # alone until then, or it might never come to that step
            wait_for(lambda: cluster.workers[0].poll() is not None or not thread.is_alive(), 120)
        cluster.worker(**settings)
        if scenario.outage:
            time.sleep(0.4)
            network.enable(False)
            time.sleep(scenario.outage)
            network.enable(True)
        killed += self._tend(cluster, settings, thread)
        if thread.is_alive():
            return "hangs", killed, cluster.said()[-2000:]
        if (scenario.worker or scenario.scheduler) and not killed:
            return "nothing was killed", killed, ""
        return self._judge(scenario, cluster, answer, killed)

    @staticmethod
    def _ask(folder: Path, answer: dict[str, Any]) -> None:
        try:
            answer["value"] = terality.to_pandas(program(terality.read_parquet(folder / "t.parquet")))
        except Exception as fault:
            answer["fault"] = fault

    def _tend(self, cluster: Cluster, settings: dict[str, str], thread: threading.Thread) -> int:
        """Start again what was killed, until the query has ended; give how many were."""
        killed, counted = 0, set()
        end = time.monotonic() + 180
        while time.monotonic() < end:
            over = not thread.is_alive()
            process = cluster.scheduler.process
            if process and process.poll() is not None:
                assert process.returncode == -9, f"the scheduler ended: {cluster.scheduler.said()}"
                killed += 1
                process.stdout.close()
                cluster.scheduler.process = None
                cluster.scheduler.start()
            for worker in list(cluster.workers):
                if worker.poll() is None or worker.pid in counted:
                    continue
                assert worker.returncode == -9, f"a worker ended: {cluster.said()}"
                counted.add(worker.pid)
                killed += 1
                cluster.worker(**settings)
            if over:
                break
            thread.join(0.05)
        return killed

    def _judge(self, scenario: Scenario, cluster: Cluster, answer: dict[str, Any], killed: int) -> tuple[str, int, str]:
        wait_for(lambda: cluster.running() == 0, 60)
        for query in cluster.tenant.api.get("/v1/queries")["queries"]:
            state = cluster.tenant.api.get(f"/v1/queries/{query['query']}")
            done = sum(stage["done"] for stage in state["stages"])
            store = _engine.Store(cluster.store_url, {})
            commits = len(list(store.list(f"commit/{query['query']}/")))
            if state["state"] == "done" and commits != done:
                return "commits and tasks differ", killed, f"{commits} commits of {done} tasks"
        if "value" in answer:
            try:
                got = answer["value"].reset_index(drop=True)
                pandas.testing.assert_frame_equal(got, self.expected)
            except AssertionError as difference:
                return "wrong answer", killed, str(difference)
            return "equal", killed, ""
        fault = answer["fault"]
        text = f"{type(fault).__name__}: {fault}"
        if scenario.may_fail and isinstance(fault, OSError) and "/" in str(fault):
            return "error", killed, text
        return "an error", killed, text
