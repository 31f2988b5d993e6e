"""Keys, cancelling, processes killed, and what the scheduler may never see."""

from __future__ import annotations

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

from .conftest import connect

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
    end = time.monotonic() + 300
    while not api.get("/v1/queries")["queries"]:
        assert time.monotonic() < end
        time.sleep(0.05)
    program.send_signal(signal.SIGINT)
    out, _ = program.communicate(timeout=300)
    assert out == "interrupted\n"
    for worker in own.workers:
        os.kill(worker.pid, signal.SIGCONT)
    assert [query["state"] for query in api.get("/v1/queries")["queries"]] == ["cancelled"]
    pd.testing.assert_series_equal(sums(), EXPECTED)


def test_a_worker_ends_when_asked_and_with_its_parent(own: LocalCluster) -> None:
    sums()  # it has started in full
    worker = own.workers[0]
    worker.terminate()
    assert worker.wait(120) == 0
    pd.testing.assert_series_equal(sums(), EXPECTED)


def test_the_store_is_as_small_as_it_should_be(own: LocalCluster) -> None:
    for _ in range(3):
        sums()
    uploads = [name for name in os.listdir(Path(own.store) / "uploads") if not name.startswith("manifest-")]
    assert len(uploads) == 1
