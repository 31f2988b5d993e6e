"""A scheduler with short leases, a tenant of it, and workers as a test asks for them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import terality
from terality import daemons

from tests.scheduler.daemon import Scheduler, Tenant


class Cluster:
    """A scheduler, a tenant, a folder, and workers as they are asked for.

    Parameters
    ----------
    folder : Path
        For everything.
    store : str, optional
        URL of the deployment's store; a folder inside `folder` by default.
    lease_ms : int
        How long a lease holds.
    """

    def __init__(self, folder: Path, store: str | None = None, lease_ms: int = 1500) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.store.mkdir()
        self.store_url = store or str(self.store)
        self.scheduler = Scheduler(folder / "data", "--lease-ms", str(lease_ms), "--grace-ms", "500").start()
        self.url = self.scheduler.url  # where clients and workers go: a proxy, if a test sets one
        self.tenant = Tenant(self.scheduler, "tenant")
        self.workers: list[subprocess.Popen] = []
        self.log = (folder / "workers.log").open("ab")

    def environment(self, **changes: str) -> dict[str, str]:
        given = {
            "TERALITY_SCHEDULER": self.url,
            "TERALITY_WORKER_TOKEN": self.tenant.token,
            "TERALITY_STORE": self.store_url,
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
            self.url,
            api_key=self.tenant.key,
            deployment=self.tenant.deployment,
            store=self.store_url,
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
        statuses = [process.wait(120) for process in self.workers]
        self.log.close()
        self.scheduler.stop()
        # -9: a test has killed it. -15: it had not yet come to where it takes signals.
        assert set(statuses) <= {0, -9, -15}, f"{statuses}: {self.said()}"
