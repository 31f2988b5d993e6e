"""Workers on a Ray cluster of this machine: nodes that vanish, actors and workers that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import terality
from terality import daemons
from terality.cluster.processes import LocalCluster
from terality.cluster.ray_workers import RayWorkers, _check_reach
from terality.remote.api import Api

ROOT = Path(__file__).resolve().parents[2]
NODES = 3
SOME = 50
"""Queries before a node is removed, and at least as many after: a third of the example's."""
PATIENCE = 600.0


def test_nodes_elsewhere_need_a_scheduler_that_they_reach() -> None:
    nodes = [{"NodeManagerAddress": address} for address in ("10.0.0.5", "10.0.0.7")]
    with pytest.raises(RuntimeError, match=r"workers on 10\.0\.0\.7 cannot reach .* http://127\.0\.0\.1:99"):
        _check_reach(nodes, "10.0.0.5", "http://127.0.0.1:99")
    _check_reach(nodes, "10.0.0.5", "https://scheduler.example:99")
    _check_reach(nodes[:1], "10.0.0.5", "http://127.0.0.1:99")


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RuntimeError, match=r"pip install 'terality\[ray\]'"):
        RayWorkers("auto", "http://127.0.0.1:1", "token", "store")


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Ray cluster: a head without CPUs and three nodes with one each, in processes of this machine."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    ray = pytest.importorskip("ray", reason="Ray is not installed: make ray-tests")
    from ray.cluster_utils import Cluster

    room = {"object_store_memory": 80_000_000}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **room})
    try:
        made.given = [made.add_node(num_cpus=1, **room) for _ in range(NODES)]
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[LocalCluster]:
    with open(tmp_path / "log", "wb") as log, LocalCluster(0, str(tmp_path / "store"), tmp_path / "data", log=log) as c:
        yield c


def daemons_of(url: str) -> dict[int, int]:
    """Give the workers of a scheduler that run on this machine, and the process that each is a child of."""
    program = str(daemons.path("terality-worker"))
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(folder / "exe") != program:
                continue
            if f"TERALITY_SCHEDULER={url}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has just ended
    return found


def until(true: Callable[[], Any], tend: Callable[[], Any] = lambda: None) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "waited too long"
        tend()
        time.sleep(0.1)


def test_the_example_survives_the_loss_of_a_node(nodes: Any, scheduler: LocalCluster, tmp_path: Path) -> None:
    """tools/run_example.py compares everything the program gives with plain pandas; its exit status says equal."""
    from tools.run_cluster import in_pieces

    data = in_pieces("1", tmp_path / "flights", 20_000)
    profile = scheduler.profile
    environment = {
        **os.environ,
        "TERALITY_URL": profile.url,
        "TERALITY_API_KEY": profile.api_key,
        "TERALITY_DEPLOYMENT": profile.deployment,
        "TERALITY_STORE": profile.store,
        "TERALITY_MIN_ROWS": "0",
        "TERALITY_TARGET_ROWS": "20000",
        "TERALITY_PARTITIONS": "8",
    }
    command = [sys.executable, str(ROOT / "tools" / "run_example.py"), "--quiet", "--data", str(data)]
    api = Api(profile.url, profile.api_key)

    def states() -> list[str]:
        return [query["state"] for query in api.get("/v1/queries", limit=1000)["queries"]]

    seen_busy: set[str] = set()

    def all_have_worked() -> bool:
        found = api.get("/v1/workers", deployment=profile.deployment)["workers"]
        assert {worker["kind"] for worker in found} == {"ray"}
        seen_busy.update(worker["worker"] for worker in found if worker["leases"] > 0)
        return len(seen_busy) >= NODES

    def in_the_middle() -> bool:
        assert example.poll() is None, (tmp_path / "printed").read_text()
        return all_have_worked() and states().count("done") >= SOME

    with (
        RayWorkers(nodes.address, scheduler.url, scheduler.token, scheduler.store) as workers,
        open(tmp_path / "printed", "wb") as printed,
    ):
        assert len(workers) == NODES
        until(lambda: len(daemons_of(scheduler.url)) == NODES, workers.tend)
        before = set(daemons_of(scheduler.url))
        example = subprocess.Popen(
            [*command, "--home", str(tmp_path / "home")], env=environment, cwd=ROOT, stdout=printed, stderr=printed
        )
        try:
            until(in_the_middle, workers.tend)
            nodes.remove_node(nodes.given[0], allow_graceful=False)
            done, removed = states().count("done"), time.monotonic()
            until(lambda: len(daemons_of(scheduler.url)) < NODES, workers.tend)
            print(f"after {done} queries a node was removed; its worker ended {time.monotonic() - removed:.1f} s later")
            until(lambda: len(workers) == NODES - 1, workers.tend)
            nodes.add_node(num_cpus=1, object_store_memory=80_000_000)
            until(lambda: len(daemons_of(scheduler.url)) == NODES, workers.tend)
            assert len(set(daemons_of(scheduler.url)) & before) == NODES - 1
            example.wait(600)
        finally:
            example.kill()
            example.wait()
        text = (tmp_path / "printed").read_text()
        print(text)
        assert example.returncode == 0, text
        assert set(states()) == {"done"}
        print(f"{len(states())} queries in all")
        assert len(states()) > done + SOME
    assert daemons_of(scheduler.url) == {}


def test_what_is_killed_comes_back(nodes: Any, scheduler: LocalCluster) -> None:
    url = scheduler.url
    told: list[str] = []
    with RayWorkers(nodes.address, url, scheduler.token, scheduler.store) as workers:

        def tend() -> None:
            told.extend(workers.tend())

        until(lambda: len(daemons_of(url)) == NODES, tend)
        killed = next(iter(daemons_of(url)))
        os.kill(killed, signal.SIGKILL)
        until(lambda: len(set(daemons_of(url)) - {killed}) == NODES, tend)
        until(lambda: any("ended with status -9; another was started" in line for line in told), tend)
        killed, actor = next(iter(daemons_of(url).items()))
        os.kill(actor, signal.SIGKILL)
        until(lambda: killed not in daemons_of(url), tend)
        until(lambda: len(daemons_of(url)) == NODES, tend)
        assert actor not in daemons_of(url).values()
    assert daemons_of(url) == {}


def test_a_node_that_cannot_run_it_is_named(
    scheduler: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """As a node where terality is not installed whole; the nodes take their environment from here."""
    monkeypatch.setenv("TERALITY_BIN", str(tmp_path))
    nodes = request.getfixturevalue("nodes")
    told: list[str] = []
    with RayWorkers(nodes.address, scheduler.url, scheduler.token, scheduler.store) as workers:
        until(lambda: len(told) >= NODES, lambda: told.extend(workers.tend()))
    assert all(line.startswith("no worker on ") and "install terality again" in line for line in told), told


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_the_command_runs_and_leaves_nothing(
    nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: signal.Signals
) -> None:
    monkeypatch.setenv("TERALITY_HOME", str(tmp_path / "home"))
    command = [sys.executable, "-m", "terality.cli", "up", "--ray", nodes.address]
    command += ["--store", str(tmp_path / "store"), "--data", str(tmp_path / "data")]
    with open(tmp_path / "errors", "wb") as errors:
        up = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        assert up.stdout is not None
        lines = [next(up.stdout) for _ in range(5)]
        assert lines[-1] == f"workers on {NODES} nodes of the Ray cluster\n", lines
        url = lines[0].split()[2].rstrip(",")
        session = terality.connect(profile="local", min_rows=0, options={"target_rows": 200})
        frame = pd.DataFrame({"k": [n % 7 for n in range(3000)], "x": [n * 0.5 for n in range(3000)]})
        got = terality.to_pandas(terality.from_pandas(frame).groupby("k")["x"].sum())
        pd.testing.assert_series_equal(got, frame.groupby("k")["x"].sum())
        assert session.queries >= 1
        until(lambda: len(daemons_of(url)) == NODES)
        up.send_signal(end)
        assert up.wait(30) == (0 if end == signal.SIGINT else -end), (tmp_path / "errors").read_text()
        if end == signal.SIGKILL:
            until(lambda: not daemons_of(url))
        assert daemons_of(url) == {}
    finally:
        terality.disconnect()
        up.kill()
        up.wait()
    import ray

    ray.init(address=nodes.address, log_to_driver=False)
    until(lambda: ray.available_resources().get("CPU") == NODES)
