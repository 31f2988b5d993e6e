"""Keys, cancelling, processes killed, and what the scheduler may never see."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import terality
from terality.cluster.processes import LocalCluster
from terality.remote.api import Api, ApiError

from .conftest import connect, logs

FRAME = pd.DataFrame({"k": np.arange(3000) % 7, "x": np.arange(3000) * 0.5})
EXPECTED = FRAME.groupby("k")["x"].sum()


def sums() -> Any:
    lazy = terality.from_pandas(FRAME)
    return terality.to_pandas(lazy.groupby("k")["x"].sum())


def test_a_wrong_or_revoked_key_is_refused_when_connecting(cluster: LocalCluster) -> None:
    p = cluster.profile
    with pytest.raises(ApiError, match="HTTP 401"):
        terality.connect(p.url, api_key="tk_wrong", deployment=p.deployment, store=p.store)
    api = Api(p.url, p.api_key)
    made = api.post("/v1/keys", {"name": "second"})
    assert Api(p.url, made["key"]).get("/v1/deployments")
    api.delete(f"/v1/keys/{made['id']}")
    with pytest.raises(ApiError, match="HTTP 401"):
        terality.connect(p.url, api_key=made["key"], deployment=p.deployment, store=p.store)
    assert terality.remote.current() is None


def test_an_unknown_deployment_is_named(cluster: LocalCluster) -> None:
    p = cluster.profile
    with pytest.raises(ValueError, match=r"no deployment 'nowhere' at .*: the account has local-"):
        terality.connect(p.url, api_key=p.api_key, deployment="nowhere", store=p.store)


@pytest.fixture
def own(tmp_path: Path) -> Any:
    """A cluster that the test may hurt."""
    soon = ("--lease-ms", "1500", "--grace-ms", "400")
    store, data = str(tmp_path / "store"), tmp_path / "data"
    with open(tmp_path / "log", "wb") as log, LocalCluster(2, store, data, log=log, scheduler_options=soon) as c:
        c.folder = tmp_path
        mode = terality.options.mode
        terality.options.mode = "native"
        connect(c, target_rows=100)
        yield c
        terality.disconnect()
        terality.options.mode = mode


def meanwhile(action: Any, times: int, seconds: float) -> list[Any]:
    """Compute sums in another thread, five times, while `action` is done now and then in this one.

    Processes must be started by a thread that lives: they end with the one that made them.
    """
    found: list[Any] = []

    def compute() -> None:
        try:
            found.extend(sums() for _ in range(5))
        except Exception as fault:
            found.append(fault)

    thread = threading.Thread(target=compute)
    thread.start()
    for _ in range(times):
        time.sleep(seconds)
        action()
    thread.join()
    return found


def test_a_killed_worker_costs_time_not_answers(own: LocalCluster) -> None:
    def kill() -> None:
        own.workers[0].kill()
        own.workers[0].wait()
        own.tend()

    answers = meanwhile(kill, 4, 0.1)
    assert len(answers) == 5, answers
    for answer in answers:
        pd.testing.assert_series_equal(answer, EXPECTED)


def test_a_killed_scheduler_resumes(own: LocalCluster) -> None:
    answers = meanwhile(lambda: own.restart_scheduler(kill=True), 3, 0.1)
    answers.append(sums())
    assert len(answers) == 6, answers
    for answer in answers:
        pd.testing.assert_series_equal(answer, EXPECTED)


INTERRUPTED = """
import signal, numpy as np, terality
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background is started with it ignored
terality.options.mode = "native"
frame = terality.from_pandas(terality.DataFrame({"k": np.arange(3000) % 7, "x": np.arange(3000) * 0.5}))
try:
    terality.to_pandas(frame.groupby("k")["x"].sum())
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_cancels_on_the_cluster(own: LocalCluster) -> None:
    """In a process of its own: signals belong to main threads, which tests need not run on."""
    for worker in own.workers:
        os.kill(worker.pid, signal.SIGSTOP)
    p = own.profile
    environment = {**os.environ, "TERALITY_URL": p.url, "TERALITY_API_KEY": p.api_key, "TERALITY_STORE": p.store}
    environment |= {"TERALITY_DEPLOYMENT": p.deployment, "TERALITY_MIN_ROWS": "0"}
    program = subprocess.Popen([sys.executable, "-c", INTERRUPTED], env=environment, stdout=subprocess.PIPE, text=True)
    api = Api(p.url, p.api_key)
    end = time.monotonic() + 60
    while not api.get("/v1/queries")["queries"]:
        assert time.monotonic() < end
        time.sleep(0.05)
    program.send_signal(signal.SIGINT)
    out, _ = program.communicate(timeout=60)
    assert out == "interrupted\n"
    for worker in own.workers:
        os.kill(worker.pid, signal.SIGCONT)
    assert [query["state"] for query in api.get("/v1/queries")["queries"]] == ["cancelled"]
    pd.testing.assert_series_equal(sums(), EXPECTED)


def test_a_worker_ends_when_asked_and_with_its_parent(own: LocalCluster) -> None:
    sums()  # it has started in full
    worker = own.workers[0]
    worker.terminate()
    assert worker.wait(10) == 0
    pd.testing.assert_series_equal(sums(), EXPECTED)


PLANTED = {"Quelle-0815": "a value", "pattern-4711": "a pattern", "lbl-99a": "a made label", "cat-31337": "a category"}


def test_nothing_planted_reaches_the_scheduler(own: LocalCluster, tmp_path: Path) -> None:
    path = tmp_path / "secretfile-77.parquet"
    values = ["Quelle-0815", "pattern-4711 x", "b"] * 100
    frame = pd.DataFrame({"s": pd.array(values, dtype="str"), "n": np.arange(300), "lbl-99a": 1.5})
    frame["c"] = pd.Categorical(["cat-31337", "b", "c"] * 100)
    frame.to_parquet(path)
    lazy = terality.read_parquet(path)
    for chosen in (
        lazy[lazy.s == "Quelle-0815"],
        lazy[lazy.s.str.contains("pattern-4711")],
        lazy[lazy.c == "cat-31337"],
        lazy.pivot_table(index="s", values="n", aggfunc="sum"),
        lazy[lazy.s.isin(["Quelle-0815", "pattern-4711"])].groupby("lbl-99a").n.sum(),
    ):
        assert len(terality.to_pandas(chosen)) > 0
    with pytest.raises(ValueError, match="Quelle-0815"):
        terality.to_pandas(lazy["s"].astype("int64"))
    session = terality.remote.current()
    session.write_audit()
    sent = "".join(session._store.get(key).decode() for key, _ in session._store.list("audit/"))
    assert sent.count("POST /v1/queries") > 5
    seen = [entry.read_bytes() for entry in Path(own.data).rglob("*") if entry.is_file()]
    seen += [sent.encode(), logs(own).encode()]
    for planted in [*PLANTED, "secretfile-77"]:
        assert not any(planted.encode() in text for text in seen), planted


def test_the_store_is_as_small_as_it_should_be(own: LocalCluster) -> None:
    for _ in range(3):
        sums()
    uploads = [name for name in os.listdir(Path(own.store) / "uploads") if not name.startswith("manifest-")]
    assert len(uploads) == 1


def test_smallest_query_is_quick_enough_to_be_used(own: LocalCluster) -> None:
    """A guard against seconds; the figure itself is in bench/remote_overhead.py."""
    sums()
    start = time.monotonic()
    sums()
    assert time.monotonic() - start < 20
    assert json.dumps(terality.remote.current().options)
