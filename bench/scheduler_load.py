"""Loads a scheduler alone: simulated workers that report and lease over loopback, a query of many tasks, a kill.

    python -m bench.scheduler_load [--workers 200] [--tasks 10000] [--queries 5] [--want 8]

Prints tasks reported and leased per second (each task is both once), the scheduler's resident memory after each query,
and whether a query whose scheduler is killed in the middle ends with every task done.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import Request, urlopen

from terality import _engine, daemons

ADMIN = "admin-key-for-the-bench"
PLANS = Path(__file__).resolve().parents[1] / "tests" / "data" / "plans_v1"


class Scheduler:
    """The daemon, with a folder that outlives it."""

    def __init__(self, folder: str):
        self.folder, self.port = folder, 0
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        command = [daemons.path("terality-scheduler"), "--data", self.folder, "--listen", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(
            [*map(str, command), "--die-with-parent", "--grace-ms", "1000"],
            stdout=subprocess.PIPE,
            env={**os.environ, "TERALITY_ADMIN_KEY": ADMIN},
        )
        self.port = int(re.search(rb":(\d+)\s*$", self.process.stdout.readline())[1])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def memory(self) -> float:
        """Resident MB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024

    def cpu(self) -> float:
        """Seconds of processor time."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def call(self, method: str, path: str, key: str, body: object = None):
        request = Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        request.add_header("Authorization", f"Bearer {key}")
        data = None if body is None else json.dumps(body).encode()
        with urlopen(request, data, timeout=60) as reply:
            return json.loads(reply.read())


class Worker:
    """A simulated worker: does its tasks in no time."""

    def __init__(self, scheduler: Scheduler, token: str, name: str, want: int):
        self.scheduler, self.name, self.want = scheduler, name, want
        self.head = f"POST /v1/lease HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: "
        self.reports: list[str] = []
        self.held: list[str] = []
        self.streams = None
        self.reported = self.leased = self.calls = 0

    async def call(self, wait_ms: int) -> dict:
        """One call; again on a new connection when the scheduler has gone."""
        body = (
            f'{{"worker":"{self.name}","want":{self.want},"wait_ms":{wait_ms},"reports":[{",".join(self.reports)}],'
            f'"running":[{",".join(self.held)}]}}'
        )
        request = f"{self.head}{len(body)}\r\n\r\n{body}".encode()
        while True:
            try:
                if self.streams is None:
                    self.streams = await asyncio.open_connection("127.0.0.1", self.scheduler.port)
                reader, writer = self.streams
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(re.search(rb"Content-Length: (\d+)", head)[1])
                answer = json.loads(await reader.readexactly(length))
                if b" 200 " not in head[:16]:
                    raise RuntimeError(answer)
                return answer
            except (OSError, asyncio.IncompleteReadError):
                self.streams = None
                await asyncio.sleep(0.05)

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            answer = await self.call(200)
            self.calls += 1
            self.reported += len(self.reports)
            self.leased += len(answer["tasks"])
            self.reports = [
                f'{{"query":"{t["query"]}","stage":{t["stage"]},"task":{t["task"]},"attempt":{t["attempt"]},"ok":true,'
                f'"rows":1,"seconds":0.01,"segment_rows":{ones(t)},"segment_bytes":{ones(t)}}}'
                for t in answer["tasks"]
            ]
        if self.streams:
            self.streams[1].close()


def ones(task: dict) -> str:
    """One row in the first segment."""
    output = task["fragment"]["output"]
    return "[1" + ",0" * (0 if output["by"] in ("none", "result") else output["parts"] - 1) + "]"


def submit(scheduler: Scheduler, key: str, plan: str, tasks: int) -> str:
    sources = [{"kind": "parquet", "rows": [100] * tasks} for _ in json.loads(plan)["sources"]]
    options = {"partitions": tasks, "target_rows": 1}
    body = {"deployment": "d", "plan": plan, "manifest": "m", "sources": sources, "options": options}
    return scheduler.call("POST", "/v1/queries", key, body)["query"]


async def finish(scheduler: Scheduler, key: str, query: str) -> dict:
    """Wait as a client does."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            path = f"/v1/queries/{query}?wait_ms=20000"
            answer = await loop.run_in_executor(None, scheduler.call, "GET", path, key)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        if answer["state"] not in ("queued", "running"):
            return answer


async def drive(scheduler: Scheduler, key: str, token: str, plan: str, given: argparse.Namespace) -> dict:
    """All queries, one after another, then one through a kill."""
    workers = [Worker(scheduler, token, f"w{i}", given.want) for i in range(given.workers)]
    stop = asyncio.Event()
    running = [asyncio.create_task(worker.run(stop)) for worker in workers]
    await asyncio.sleep(0.5)
    rates, memory = [], []
    for _ in range(given.queries):
        begin, cpu = time.monotonic(), scheduler.cpu()
        answer = await finish(scheduler, key, submit(scheduler, key, plan, given.tasks))
        seconds = time.monotonic() - begin
        done = sum(stage["done"] for stage in answer["stages"])
        assert answer["state"] == "done" and done >= given.tasks, answer["state"]
        rates.append(done / seconds)
        memory.append(round(scheduler.memory(), 1))
        print(
            f"{done} tasks in {seconds:.2f} s: {rates[-1]:,.0f} reports and {rates[-1]:,.0f} leases per second; "
            f"scheduler {scheduler.cpu() - cpu:.2f} s of processor, {memory[-1]} MB"
        )
    query = submit(scheduler, key, plan, given.tasks)
    while scheduler.call("GET", f"/v1/queries/{query}", key)["stages"][0]["done"] < given.tasks // 2:
        await asyncio.sleep(0.01)
    scheduler.kill()
    scheduler.start()
    answer = await finish(scheduler, key, query)
    done = sum(stage["done"] for stage in answer["stages"])
    whole = answer["state"] == "done" and all(s["done"] == s["tasks"] == s["rows"] for s in answer["stages"])
    print(
        f"killed in the middle and started again: {answer['state']}, {done} tasks done, {'whole' if whole else 'NOT'}"
    )
    stop.set()
    await asyncio.gather(*running)
    calls = sum(worker.calls for worker in workers)
    return {"tasks_per_second": max(rates), "memory_mb": memory, "calls": calls, "whole_after_kill": whole}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--tasks", type=int, default=10000)
    parser.add_argument("--queries", type=int, default=5)
    parser.add_argument("--want", type=int, default=8)
    parser.add_argument("--plan", default="filter_project")
    given = parser.parse_args()
    plan = _engine.seal_plan((PLANS / f"{given.plan}.json").read_text().strip(), b"k" * 32)
    with tempfile.TemporaryDirectory() as folder:
        scheduler = Scheduler(f"{folder}/data")
        scheduler.start()
        try:
            key = scheduler.call("POST", "/v1/accounts", ADMIN, {"name": "a"})["key"]["key"]
            token = scheduler.call("POST", "/v1/deployments", key, {"name": "d"})["token"]
            result = asyncio.run(drive(scheduler, key, token, plan, given))
        finally:
            scheduler.kill()
    print(json.dumps(result))
    return 0 if result["whole_after_kill"] else 1


if __name__ == "__main__":
    sys.exit(main())
