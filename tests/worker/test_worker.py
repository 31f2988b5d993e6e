"""Real workers: right answers, also when workers, objects or the scheduler go away in the middle."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow.parquet
import pytest
import terality
from pandas.testing import assert_frame_equal
from terality import daemons
from terality.remote.session import QueryError

from tests.scheduler.daemon import wait_for

from .cluster import Cluster
from .conftest import in_mode

PROGRAMS: dict[str, Callable[[Any], Any]] = {
    "filter": lambda t: t[t["v"] > 0.99],
    "groups": lambda t: t.groupby("k", as_index=False)["v"].sum(),
    "two keys": lambda t: t.groupby(["s", "k"])["v"].agg(["min", "max", "count"]).reset_index(),
    "sort": lambda t: t.sort_values(["s", "v"]).head(100),
    "tail": lambda t: t.tail(5),
    "text": lambda t: t[t["s"].str.startswith("b")].head(20),
}


def answer(program: str, path: Any) -> pandas.DataFrame:
    """Run it on the cluster."""
    result = PROGRAMS[program](terality.read_parquet(path))
    terality.execute(result)
    return result


def in_background(function: Callable[[], Any]) -> Callable[[], Any]:
    """Start it in a thread; calling what comes back waits and gives or raises what it did."""
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["value"] = function()
        except BaseException as fault:
            outcome["fault"] = fault

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def wait() -> Any:
        thread.join(300)
        assert not thread.is_alive()
        if "fault" in outcome:
            raise outcome["fault"]
        return outcome["value"]

    return wait


def test_answers_are_pandas(cluster, path, table):
    cluster.worker()
    cluster.worker()
    cluster.connect(broadcast_rows=-1)
    for name, program in PROGRAMS.items():
        assert_frame_equal(answer(name, path), program(table), obj=name)
    left = terality.read_parquet(path).groupby("k", as_index=False)["v"].mean()
    joined = terality.read_parquet(path).merge(left, on="k").head(10)
    assert_frame_equal(joined, table.merge(table.groupby("k", as_index=False)["v"].mean(), on="k").head(10))


def test_frames_go_up_as_blocks(cluster, table):
    cluster.worker()
    cluster.connect()
    lazy = terality.from_pandas(table)
    assert_frame_equal(lazy.groupby("s", as_index=False)["v"].max(), table.groupby("s", as_index=False)["v"].max())
    assert list((cluster.store / "uploads").iterdir())


def test_a_killed_worker_is_replaced_by_another(cluster, path, table):
    slow = cluster.worker(TERALITY_STORE_FAULTS="read:1:late:8000,stat:1:late:8000")
    cluster.connect()
    wait = in_background(lambda: answer("groups", path))
    wait_for(lambda: cluster.running() > 0)
    slow.kill()
    cluster.worker()
    assert_frame_equal(wait(), PROGRAMS["groups"](table))


def test_the_scheduler_is_killed_in_the_middle(cluster, path, table):
    for _ in range(2):
        cluster.worker(TERALITY_STORE_FAULTS="put:1:late:30")
    cluster.connect(target_rows=3_000)
    wait = in_background(lambda: answer("two keys", path))
    wait_for(lambda: cluster.running() > 0)
    time.sleep(0.3)
    cluster.scheduler.kill()
    time.sleep(0.3)
    cluster.scheduler.start()
    assert_frame_equal(wait(), PROGRAMS["two keys"](table))


def test_a_lost_object_is_made_again(cluster, path, table):
    cluster.connect()
    wait = in_background(lambda: answer("two keys", path))
    tenant = cluster.tenant
    # Somebody holds one task of the first stage, so that the second cannot begin.
    held = wait_for(lambda: tenant.lease("holder", 1)["tasks"])[0]
    cluster.worker()
    query = held["query"]
    wait_for(
        lambda: (
            tenant.lease("holder", 0, running=[held["lease"]])
            and tenant.api.get(f"/v1/queries/{query}")["stages"][0]["done"] == 3
        )
    )
    objects = sorted(cluster.store.glob(f"shuffle/*/{query}-0-*"))
    assert len(objects) == 3
    objects[1].unlink()
    back = {name: held[name] for name in ("query", "stage", "task", "attempt")}
    tenant.lease("holder", 0, reports=[{**back, "ok": False, "class": "Drained", "returned": True}])
    assert_frame_equal(wait(), PROGRAMS["two keys"](table))
    assert len(list(cluster.store.glob(f"shuffle/*/{query}-0-*"))) == 4


def test_a_file_changed_in_the_middle(cluster, path, table):
    cluster.connect()
    wait = in_background(lambda: answer("groups", path))
    wait_for(lambda: cluster.tenant.api.get("/v1/queries")["queries"])
    pyarrow.parquet.write_table(pyarrow.table({"k": [1], "v": [0.5], "s": ["a"]}), path)
    cluster.worker()
    with pytest.raises(OSError, match=r"t\.parquet was changed since the query began"):
        wait()
    # The text came sealed: neither file name nor text is anywhere in the scheduler's files.
    kept = b"".join(file.read_bytes() for file in cluster.scheduler.folder.iterdir())
    assert b"t.parquet" not in kept and b"was changed" not in kept and b"OSError" in kept


def test_cancelled_tasks_stop(cluster, path):
    cluster.worker(TERALITY_STORE_FAULTS="put:1:late:20000")
    cluster.connect()
    wait = in_background(lambda: answer("groups", path))
    wait_for(lambda: cluster.running() > 0)
    query = cluster.tenant.api.get("/v1/queries")["queries"][0]["query"]
    cluster.tenant.api.delete(f"/v1/queries/{query}")
    with pytest.raises(QueryError, match="was cancelled"):
        wait()
    wait_for(lambda: [w["leases"] for w in cluster.tenant.worker.get("/v1/workers")["workers"]] == [0])
    # Its next task is not behind the cancelled one: the worker polls again.
    wait_for(lambda: cluster.tenant.worker.get("/v1/workers")["workers"][0]["silent_ms"] < 1000)
    assert not list(cluster.store.glob(f"commit/{query}/*/*"))


def test_drain_finishes_what_runs(cluster, path, table):
    first = cluster.worker(TERALITY_STORE_FAULTS="put:1:late:700")
    cluster.connect()
    wait = in_background(lambda: answer("groups", path))
    wait_for(lambda: cluster.running() > 0)
    first.terminate()
    assert first.wait(120) == 0
    # No lease was left to run out: what ran was reported, what did not run was handed back.
    assert cluster.running() == 0
    done = cluster.tenant.api.get("/v1/queries")["queries"][0]["query"]
    assert cluster.tenant.api.get(f"/v1/queries/{done}")["stages"][0]["done"] == 1
    cluster.worker()
    assert_frame_equal(wait(), PROGRAMS["groups"](table))


def test_a_second_signal_hands_back(cluster, path, table):
    first = cluster.worker(TERALITY_STORE_FAULTS="put:1:late:20000")
    cluster.connect()
    wait = in_background(lambda: answer("groups", path))
    wait_for(lambda: cluster.running() > 0)
    time.sleep(0.3)
    first.terminate()
    time.sleep(0.2)
    first.terminate()
    assert first.wait(120) == 0
    assert cluster.running() == 0
    cluster.worker()
    assert_frame_equal(wait(), PROGRAMS["groups"](table))


def test_the_scheduler_asks_for_a_drain(cluster):
    process = cluster.worker("--name", "one", "--kind", "test")
    wait_for(lambda: cluster.tenant.worker.get("/v1/workers")["workers"])
    assert cluster.tenant.worker.get("/v1/workers")["workers"][0]["kind"] == "test"
    cluster.tenant.worker.delete("/v1/workers/one")
    assert process.wait(120) == 0


def test_idle_workers_end(cluster):
    assert cluster.worker("--idle-seconds", "1").wait(120) == 0


def test_what_it_sends_is_in_the_audit_log(cluster, path, table):
    worker = cluster.worker("--name", "one")
    cluster.connect()
    assert_frame_equal(answer("groups", path), PROGRAMS["groups"](table))
    worker.terminate()
    assert worker.wait(120) == 0
    terality.disconnect()
    found = {}
    for file in cluster.store.glob("audit/*/*"):
        for line in file.read_text().splitlines():
            entry = json.loads(line)
            found.setdefault(entry["sender"].split("-")[0], []).append(entry)
            assert entry["bytes"] == len(entry["request"].split(" ", 1)[1]) + len(entry["body"])
            assert cluster.tenant.token not in line and cluster.tenant.key not in line
    queries = {query["query"] for query in cluster.tenant.api.get("/v1/queries")["queries"]}
    reports = [r for e in found["worker"] if e["request"] == "POST /v1/lease" for r in json.loads(e["body"])["reports"]]
    assert {(r["query"], r["ok"]) for r in reports} == {(query, True) for query in queries}
    assert {f"GET /v1/queries/{query}/plan" for query in queries} <= {entry["request"] for entry in found["worker"]}
    sent = {entry["request"].split("?")[0] for entry in found["client"]}
    assert {"POST /v1/queries", *(f"GET /v1/queries/{query}" for query in queries)} <= sent


def run(**environment: str) -> subprocess.CompletedProcess:
    command = [str(daemons.path("terality-worker"))]
    given = {name: value for name, value in os.environ.items() if not name.startswith("TERALITY_WORKER")}
    return subprocess.run(
        command, env={**given, **environment}, capture_output=True, text=True, timeout=120, check=False
    )


def test_settings_are_checked(cluster):
    store = str(cluster.store)
    good = {"TERALITY_SCHEDULER": cluster.scheduler.url, "TERALITY_WORKER_TOKEN": "t", "TERALITY_STORE": store}
    for name in good:
        done = run(**{key: value for key, value in good.items() if key != name})
        assert done.returncode == 2 and f"{name} is not set" in done.stderr
    done = run(**{**good, "TERALITY_SCHEDULER": "ftp://x"})
    assert done.returncode == 2 and "no http or https URL" in done.stderr
    for name, value in {"TERALITY_THREADS": "none", "TERALITY_MEMORY_BUDGET": "8 gigs"}.items():
        done = run(**good, **{name: value})
        assert done.returncode == 2 and f"{name}={value!r}: expected" in done.stderr
    done = run(**{**good, "TERALITY_SCHEDULER": "http://10.1.2.3:1"})
    assert done.returncode == 1 and "loopback" in done.stderr
    done = run(**good)
    assert done.returncode == 1 and "401 wrong_key" in done.stderr
    done = run(**{**good, "TERALITY_WORKER_TOKEN": cluster.tenant.key})
    assert done.returncode == 1 and "403 wrong_kind" in done.stderr and cluster.tenant.key not in done.stderr
    done = run(**{**good, "TERALITY_WORKER_TOKEN": cluster.tenant.token, "TERALITY_STORE": "gs://nowhere/x"})
    assert done.returncode == 1 and "gs" in done.stderr


def test_it_dies_with_its_parent(cluster):
    program = (
        "import subprocess, sys, time\np = subprocess.Popen(sys.argv[1:])\nprint(p.pid, flush=True)\ntime.sleep(60)\n"
    )
    command = [str(daemons.path("terality-worker")), "--die-with-parent", "--name", "child"]
    parent = subprocess.Popen(
        [sys.executable, "-c", program, *command], stdout=subprocess.PIPE, text=True, env=cluster.environment()
    )
    child = int(parent.stdout.readline())
    wait_for(lambda: cluster.tenant.worker.get("/v1/workers")["workers"])
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()

    def ended() -> bool:
        try:
            return "Z" in open(f"/proc/{child}/stat").read().rsplit(")", 1)[1]
        except FileNotFoundError:
            return True

    wait_for(ended)


@pytest.fixture
def wide(tmp_path) -> tuple[Path, pandas.DataFrame]:
    """A table that no part of fits into 16 MB: one row group."""
    rng = np.random.default_rng(5)
    frame = pandas.DataFrame({name: rng.random(400_000) for name in "abcdef"})
    frame.to_parquet(tmp_path / "wide.parquet", row_group_size=400_000)
    return tmp_path / "wide.parquet", frame


def sorted_by_all(frame: Any) -> Any:
    return frame.sort_values(list("abcdef"))


def test_what_is_too_large_for_one_worker_goes_to_a_larger_one(cluster, wide):
    path, frame = wide
    cluster.worker("--name", "small", TERALITY_MEMORY_BUDGET="16M")
    cluster.connect()
    # The larger one has been there, and comes back.
    cluster.tenant.worker.post("/v1/lease", {"worker": "large", "want": 0, "memory": 1 << 30})
    wait = in_background(lambda: terality.execute(sorted_by_all(terality.read_parquet(path))))
    wait_for(lambda: re.search("terality_task_failures_total [1-9]", cluster.scheduler.api(None).get("/metrics")))
    cluster.worker("--name", "large", TERALITY_MEMORY_BUDGET="1G")
    assert_frame_equal(wait(), sorted_by_all(frame))


def test_what_is_too_large_for_all_workers_says_so(cluster, wide):
    path, _ = wide
    cluster.worker(TERALITY_MEMORY_BUDGET="16M")
    cluster.connect()
    with pytest.raises(MemoryError) as failure:
        terality.execute(sorted_by_all(terality.read_parquet(path)))
    assert re.search(
        r"budget.*; task 0 of stage \d+ \(\w+\) does not fit into a memory budget of \d+ bytes", str(failure.value)
    )
    assert "TERALITY_MEMORY_BUDGET" in str(failure.value)


@pytest.fixture
def patient(tmp_path):
    """A cluster whose leases hold for ten minutes."""
    yield from in_mode("native", Cluster(tmp_path, lease_ms=600_000))


def test_a_task_that_takes_long_is_tried_by_another(patient, tmp_path, table):
    table.to_parquet(tmp_path / "t.parquet", row_group_size=1000)
    slow = patient.worker("--name", "slow", TERALITY_STORE_FAULTS="put:1:late:600000")
    patient.connect(target_rows=1000)
    wait = in_background(lambda: answer("filter", tmp_path / "t.parquet"))
    wait_for(lambda: patient.running() > 0)  # it will take ten minutes to write what it made of its first task
    patient.worker("--name", "other")
    assert_frame_equal(wait(), PROGRAMS["filter"](table))
    assert re.search("terality_second_leases_total [1-9]", patient.scheduler.api(None).get("/metrics"))
    assert {w["worker"] for w in patient.tenant.worker.get("/v1/workers")["workers"]} == {"slow", "other"}
    slow.kill()  # what it has sent it would write slowly, too
