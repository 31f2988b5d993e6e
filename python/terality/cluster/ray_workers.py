"""Workers on an existing Ray cluster: one actor per node, each running one worker process.

Ray places, restarts and scales; the scheduler keeps tasks, retries and data. The worker dies with its actor's process:
Ray's end of an actor would orphan it otherwise.
"""

from __future__ import annotations

import contextlib
import subprocess
from typing import Any

from .. import daemons
from .processes import worker_environment

__all__ = ["RayWorkers"]


class _Node:
    """The actor: runs in Ray's process on one node."""

    def __init__(self, url: str, token: str, store: str, cores: int) -> None:
        environment = worker_environment(url, token, store)
        environment["TERALITY_THREADS"] = str(max(1, cores))
        command = [str(daemons.path("terality-worker")), "--die-with-parent", "--kind", "ray"]
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)

    def alive(self) -> bool:
        """Raise when the worker has ended, so that Ray makes the actor anew."""
        if self.process.poll() is not None:
            raise RuntimeError(f"the worker ended with status {self.process.returncode}")
        return True

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(8)
        except subprocess.TimeoutExpired:
            self.process.kill()


class RayWorkers:
    """Keeps one worker on every node of a Ray cluster that has CPUs.

    Parameters
    ----------
    address : str
        "auto", or the cluster's address.
    url, token, store : str
        What a worker needs to know.
    """

    def __init__(self, address: str, url: str, token: str, store: str) -> None:
        try:
            import ray
        except ImportError:
            raise RuntimeError("--ray needs Ray in this environment: pip install 'terality[ray]'") from None
        self._ray = ray
        self._given = (url, token, store)
        self._own = not ray.is_initialized()
        if self._own:
            ray.init(address=address, log_to_driver=False)
        self._actor = ray.remote(_Node)
        self._workers: dict[str, Any] = {}
        self.tend()

    def __len__(self) -> int:
        return len(self._workers)

    def __enter__(self) -> RayWorkers:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def tend(self) -> None:
        """Give new nodes a worker, and forget those that have left."""
        nodes = {n["NodeID"]: int(n["Resources"].get("CPU", 0)) for n in self._ray.nodes() if n["Alive"]}
        for gone in set(self._workers) - set(nodes):
            del self._workers[gone]
        for node, cpus in nodes.items():
            if cpus < 1:
                continue
            if node in self._workers and self._is_alive(node):
                continue
            self._workers[node] = self._start(node, cpus)

    def _start(self, node: str, cpus: int) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        where = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
        options = {"num_cpus": cpus, "max_restarts": -1, "scheduling_strategy": where}
        return self._actor.options(**options).remote(*self._given, cpus)

    def _is_alive(self, node: str) -> bool:
        try:
            return bool(self._ray.get(self._workers[node].alive.remote(), timeout=30))
        except self._ray.exceptions.GetTimeoutError:
            return True  # still being placed
        except self._ray.exceptions.RayError:
            self._ray.kill(self._workers[node], no_restart=True)
            return False

    def stop(self) -> None:
        """End all workers and leave the Ray cluster as it was."""
        for worker in self._workers.values():
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.get(worker.stop.remote(), timeout=10)
            self._ray.kill(worker)
        self._workers = {}
        if self._own:
            self._ray.shutdown()
