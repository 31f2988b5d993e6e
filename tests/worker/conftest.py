"""Fixtures: a scheduler with short leases, real workers on a folder, this process connected to them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas
import pytest
import terality
from terality import daemons

from tests.scheduler.daemon import Scheduler, Tenant

ROWS = 40_000


class Cluster:
    """A scheduler, a tenant, a folder, and workers as they are asked for."""

    def __init__(self, folder: Path, lease_ms: int = 1500):
        self.folder = folder
        self.scheduler = Scheduler(folder / "data", "--lease-ms", str(lease_ms), "--grace-ms", "500").start()
        self.tenant = Tenant(self.scheduler, "tenant")
        self.store = folder / "store"
        self.store.mkdir()
        self.workers: list[subprocess.Popen] = []
        self.log = (folder / "workers.log").open("ab")

    def environment(self, **changes: str) -> dict[str, str]:
        given = {
            "TERALITY_SCHEDULER": self.scheduler.url,
            "TERALITY_WORKER_TOKEN": self.tenant.token,
            "TERALITY_STORE": str(self.store),
            "ASAN_OPTIONS": "detect_leaks=1:exitcode=66",
        }
        return {**os.environ, **given, **changes}

    def worker(self, *arguments: str, **environment: str) -> subprocess.Popen:
        """Start one; it tells the scheduler of itself every 200 ms."""
        command = [str(daemons.path("terality-worker")), "--die-with-parent", "--renew-ms", "200", *arguments]
        process = subprocess.Popen(command, env=self.environment(**environment), stderr=self.log, stdout=self.log)
        self.workers.append(process)
        return process

    def connect(self, **options: int) -> None:
        terality.connect(
            self.scheduler.url,
            api_key=self.tenant.key,
            deployment=self.tenant.deployment,
            store=str(self.store),
            options={"target_rows": 10_000, **options},
            min_rows=0,
        )

    def said(self) -> str:
        return (self.folder / "workers.log").read_text()

    def running(self) -> int:
        """Tasks that are leased."""
        return self.tenant.api.get("/v1/capacity", deployment="main")["tasks"]["running"]

    def stop(self) -> None:
        terality.disconnect()
        for process in self.workers:
            if process.poll() is None:
                process.terminate()
        statuses = [process.wait(30) for process in self.workers]
        self.log.close()
        self.scheduler.stop()
        # -9: a test has killed it.
        assert set(statuses) <= {0, -9}, f"{statuses}: {self.said()}"


def in_mode(mode: str, made: Cluster) -> Iterator[Cluster]:
    before = terality.options.mode
    terality.options.mode = mode
    yield made
    terality.options.mode = before
    made.stop()


@pytest.fixture
def cluster(tmp_path):
    yield from in_mode("native", Cluster(tmp_path))


@pytest.fixture(scope="session")
def table() -> pandas.DataFrame:
    rng = np.random.default_rng(4)
    texts = pandas.array(rng.choice(["a", "bb", "ccc", "dddd"], ROWS), dtype="str")
    return pandas.DataFrame({"k": rng.integers(0, 50, ROWS), "v": rng.random(ROWS), "s": texts})


@pytest.fixture
def path(tmp_path, table) -> Path:
    """The table in four row groups."""
    table.to_parquet(tmp_path / "t.parquet", row_group_size=10_000)
    return tmp_path / "t.parquet"
