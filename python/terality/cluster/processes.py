"""The daemons as child processes of this one: found beside the package, started, watched, stopped."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

from .. import _engine, daemons
from ..remote.api import Api
from ..remote.profiles import Profile

__all__ = ["LocalCluster", "worker_environment"]

_STOP_SECONDS = 8.0
_START_SECONDS = 20.0


def worker_environment(url: str, token: str, store: str) -> dict[str, str]:
    """Give the environment of a worker: this process' own, plus where to get work and where data lies."""
    return {
        **os.environ,
        "TERALITY_SCHEDULER": url,
        "TERALITY_WORKER_TOKEN": token,
        "TERALITY_STORE": store,
    }


class LocalCluster:
    """A scheduler and workers on this machine; they end with this process.

    Parameters
    ----------
    workers : int
        Worker processes; 0 when something else starts them.
    store : str
        Folder or ``s3://bucket/prefix`` of the deployment.
    data : path
        The scheduler's folder (database, admin key).
    listen : str
        Address and port; port 0 takes a free one.
    cores : int, optional
        Of each worker; the machine's cores divided by the workers by default.
    log : file, optional
        Where the processes write what they have to say; nowhere by default.
    scheduler_options : tuple of str
        Further arguments of ``terality-scheduler``.

    Attributes
    ----------
    profile : Profile
        How a client connects.
    """

    def __init__(
        self,
        workers: int,
        store: str,
        data: str | os.PathLike[str],
        listen: str = "127.0.0.1:0",
        cores: int | None = None,
        log: Any = None,
        scheduler_options: tuple[str, ...] = (),
    ) -> None:
        self.data = Path(data)
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._scheduler_options = scheduler_options
        self._log = log if log is not None else subprocess.DEVNULL
        self._budget = _engine.memory()["budget"] // max(workers, 1)  # of each worker
        self._cores = cores or max(1, (os.cpu_count() or 1) // max(workers, 1))
        self._admin_key = secrets.token_urlsafe(24)
        self.store = store if "://" in store else os.path.abspath(store)
        if "://" not in self.store:
            os.makedirs(self.store, exist_ok=True)
        self.scheduler, self.url = self._start_scheduler(listen)
        self.workers: list[subprocess.Popen[bytes]] = []
        try:
            self.profile, self.token = self._register()
            for _ in range(workers):
                self.add_worker()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> LocalCluster:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def restart_scheduler(self, *, kill: bool = False) -> None:
        """Stop the scheduler and start it again on the same address and data."""
        if kill:
            self.scheduler.kill()
        else:
            self.scheduler.terminate()
        self.scheduler.wait()
        self.scheduler, self.url = self._start_scheduler(self.url.removeprefix("http://"))

    def add_worker(self) -> subprocess.Popen[bytes]:
        """Start one more worker process."""
        environment = worker_environment(self.url, self.token, self.store)
        environment["TERALITY_THREADS"] = str(self._cores)
        environment.setdefault("TERALITY_MEMORY_BUDGET", str(self._budget))
        command = [str(daemons.path("terality-worker")), "--die-with-parent"]
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )
        self.workers.append(process)
        return process

    def tend(self) -> list[int]:
        """Start a worker in place of each that ended; gives the exit statuses of those."""
        ended = [process for process in self.workers if process.poll() is not None]
        for process in ended:
            self.workers.remove(process)
            self.add_worker()
        return [process.returncode for process in ended]

    def stop(self) -> None:
        """Ask workers to end, which hand back what they hold, then the scheduler; end those that have not."""
        for processes in (self.workers, [self.scheduler]):
            for process in processes:
                if process.poll() is None:
                    process.terminate()
            end = time.monotonic() + _STOP_SECONDS
            for process in processes:
                try:
                    process.wait(max(0.0, end - time.monotonic()))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _start_scheduler(self, listen: str) -> tuple[subprocess.Popen[bytes], str]:
        command = [
            str(daemons.path("terality-scheduler")),
            "--listen",
            listen,
            "--data",
            str(self.data),
            "--die-with-parent",
            *self._scheduler_options,
        ]
        environment = {**os.environ, "TERALITY_ADMIN_KEY": self._admin_key}
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._log
        )
        assert process.stdout is not None
        line = process.stdout.readline().decode().strip()
        url = next((word for word in line.split() if word.startswith("http")), "")
        if not url:
            process.kill()
            raise RuntimeError(f"terality-scheduler did not start (status {process.wait()}): {line or 'no output'}")
        _wait_until_healthy(url, process)
        return process, url

    def _register(self) -> tuple[Profile, str]:
        """Make an account and a deployment of fresh names; old ones of the same database stay as they are."""
        name = f"local-{secrets.token_hex(4)}"
        admin = Api(self.url, self._admin_key)
        account = admin.post("/v1/accounts", {"name": name})
        key = account["key"]["key"]
        deployment = Api(self.url, key).post("/v1/deployments", {"name": name})
        return Profile(self.url, key, deployment["id"], self.store), deployment["token"]


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url + "/healthz", timeout=2) as reply:
                json.load(reply)
                return
        except (OSError, ValueError) as fault:
            if process.poll() is not None or time.monotonic() > end:
                process.kill()
                raise RuntimeError(f"terality-scheduler at {url} is not healthy: {fault}") from fault
            time.sleep(0.05)
