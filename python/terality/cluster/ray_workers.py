"""Workers on an existing Ray cluster: one actor per node, each running one worker process.

Ray places, restarts and scales; the scheduler keeps tasks, retries and data. A worker dies with its actor's process:
Ray kills that one only, and would leave its child running.
"""

from __future__ import annotations

import subprocess
import time
import urllib.parse
from typing import Any

from .. import _engine, daemons
from .processes import worker_environment

__all__ = ["RayWorkers"]

_STOP_SECONDS = 8.0
_PAUSE_SECONDS = 5.0
"""Between two attempts at a node that cannot run an actor, as one without terality."""


class _Node:
    """The actor: runs in Ray's process on one node.

    Ray calls it in its main thread, which lives as long as the process: what the worker's end is tied to.
    """

    def __init__(self, url: str, token: str, store: str, cores: int, sharers: int) -> None:
        self._environment = worker_environment(url, token, store)
        self._environment["TERALITY_THREADS"] = str(cores)
        self._environment.setdefault("TERALITY_MEMORY_BUDGET", str(_engine.memory()["budget"] // sharers))
        self._start()

    def _start(self) -> None:
        command = [str(daemons.path("terality-worker")), "--die-with-parent", "--kind", "ray"]
        self._process = subprocess.Popen(command, env=self._environment, stdin=subprocess.DEVNULL)

    def tend(self) -> int | None:
        """Start the worker again if it has ended; gives the status it ended with."""
        status = self._process.poll()
        if status is not None:
            self._start()
        return status

    def stop(self) -> None:
        """Let the worker finish its task, not for long."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class RayWorkers:
    """Keeps one worker on every node of a Ray cluster that has CPUs; it takes them all.

    Parameters
    ----------
    address : str
        "auto", or the cluster's address.
    url, token, store : str
        What a worker needs to know.

    Raises
    ------
    RuntimeError
        Ray is not installed, or there are nodes that could not reach the scheduler or the store.
    ConnectionError
        No Ray cluster answers at the address.
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
        self._answers: dict[str, Any] = {}  # of tend(), one call under way per node
        self._not_before: dict[str, float] = {}
        try:
            _check_reach(self._nodes(), ray.util.get_node_ip_address(), url)
            self.tend()
        except BaseException:
            self.stop()
            raise

    def __len__(self) -> int:
        return len(self._workers)

    def __enter__(self) -> RayWorkers:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def tend(self) -> list[str]:
        """Give new nodes a worker, forget those that have left, start again what has ended; never waits for a node.

        Returns
        -------
        list of str
            What has ended or cannot start, a line each.
        """
        nodes = {n["NodeID"]: n for n in self._nodes()}
        for gone in set(self._workers) - set(nodes):
            self._forget(gone)
        names = {node: n["NodeManagerAddress"] for node, n in nodes.items()}
        told = self._hear(names)
        for node, found in nodes.items():
            if node not in self._workers and time.monotonic() >= self._not_before.get(node, 0.0):
                sharers = list(names.values()).count(names[node])  # nodes of one machine share its memory
                self._workers[node] = self._start(node, int(found["Resources"]["CPU"]), sharers)
            if node in self._workers and node not in self._answers:
                self._answers[node] = self._workers[node].tend.remote()
        return told

    def _nodes(self) -> list[dict[str, Any]]:
        return [n for n in self._ray.nodes() if n["Alive"] and n["Resources"].get("CPU", 0) >= 1]

    def _hear(self, names: dict[str, str]) -> list[str]:
        """Take the answers that are there; an actor that Ray will not start again is given up for a while."""
        told = []
        waiting = {answer: node for node, answer in self._answers.items()}
        ready, _ = self._ray.wait(list(waiting), num_returns=len(waiting), timeout=0) if waiting else ([], [])
        for answer in ready:
            node = waiting[answer]
            del self._answers[node]
            try:
                status = self._ray.get(answer)
            except self._ray.exceptions.ActorDiedError as fault:
                self._forget(node)
                self._not_before[node] = time.monotonic() + _PAUSE_SECONDS
                told.append(f"no worker on {names[node]}: {str(fault).strip().splitlines()[-1]}")
            except self._ray.exceptions.RayError:
                told.append(f"the actor on {names[node]} ended; Ray starts another")
            else:
                if status is not None:
                    told.append(f"a worker on {names[node]} ended with status {status}; another was started")
        return told

    def _start(self, node: str, cpus: int, sharers: int) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        where = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
        options = {"num_cpus": cpus, "max_restarts": -1, "scheduling_strategy": where}
        return self._actor.options(**options).remote(*self._given, cpus, sharers)

    def _forget(self, node: str) -> None:
        self._answers.pop(node, None)
        worker = self._workers.pop(node, None)
        if worker is not None:
            self._ray.kill(worker)

    def stop(self) -> None:
        """End all workers and leave the Ray cluster as it was."""
        ends = [worker.stop.remote() for worker in self._workers.values()]
        if ends:
            self._ray.wait(ends, num_returns=len(ends), timeout=_STOP_SECONDS + 2)
        for node in list(self._workers):
            self._forget(node)
        if self._own:
            self._ray.shutdown()


def _check_reach(nodes: list[dict[str, Any]], here: str, url: str) -> None:
    """Refuse a scheduler on loopback when there are nodes on other machines: their workers would wait in vain."""
    host = urllib.parse.urlsplit(url).hostname or ""
    loopback = host == "localhost" or host == "::1" or host.startswith("127.")
    others = sorted({n["NodeManagerAddress"] for n in nodes} - {here, "127.0.0.1"})
    if loopback and others:
        raise RuntimeError(f"workers on {', '.join(others)} cannot reach a scheduler on this machine only, at {url}")
