"""How long the worker takes from the start of its process to its first lease, as a Lambda bootstrap on loopback.

    python -m bench.lambda_start [--runs 20] [--bootstrap PATH]

A runtime API and a scheduler of a few lines answer in no time, so what is measured is the worker: the loader and its
libraries, settings, store, threads, the first call of each. Prints the medians in milliseconds from fork: the first
call of the runtime API, the call for a lease, and the same for an invocation in a process that is there already.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import uuid
from pathlib import Path

from terality import daemons


class Peer:
    """Runtime API and scheduler on one port; notes when each path was first asked for."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.seen: dict[str, float] = {}
        self.noted = threading.Condition()
        self.wakes = threading.Semaphore(0)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve_until_gone, args=(connection,), daemon=True).start()

    def _serve_until_gone(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        stream = connection.makefile("rwb")
        while line := stream.readline():
            at = time.monotonic()
            path, length = line.split()[1].decode(), 0
            while (header := stream.readline()) not in (b"\r\n", b""):
                if header.lower().startswith(b"content-length:"):
                    length = int(header.split(b":")[1])
            stream.read(length)
            with self.noted:
                self.seen.setdefault(path.rsplit("/", 1)[1], at)
                self.noted.notify_all()
            extra, body = "", {"tasks": [], "cancel": [], "drain": True}
            if path.endswith("/next"):
                self.wakes.acquire()
                deadline = int((time.time() + 900) * 1000)
                extra = f"Lambda-Runtime-Aws-Request-Id: {uuid.uuid4()}\r\nLambda-Runtime-Deadline-Ms: {deadline}\r\n"
            data = json.dumps(body).encode()
            stream.write(f"HTTP/1.1 200 OK\r\n{extra}Content-Length: {len(data)}\r\n\r\n".encode() + data)
            stream.flush()

    def wait(self, what: str) -> float:
        with self.noted:
            if not self.noted.wait_for(lambda: what in self.seen, 30):
                raise TimeoutError(f"the worker never asked for {what}")
            return self.seen[what]


def run(bootstrap: Path, store: str) -> dict[str, float]:
    """Start one process; give milliseconds."""
    peer = Peer()
    peer.wakes.release()
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{peer.port}",
        "TERALITY_SCHEDULER": f"http://127.0.0.1:{peer.port}",
        "TERALITY_WORKER_TOKEN": "trw_bench",
        "TERALITY_STORE": store,
        "AWS_ACCESS_KEY_ID": "AK",
        "AWS_SECRET_ACCESS_KEY": "SK",
    }
    begin = time.monotonic()
    process = subprocess.Popen([bootstrap], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        found = {"next": peer.wait("next") - begin, "lease": peer.wait("lease") - begin}
        peer.wait("response")
        peer.seen.clear()
        begin = time.monotonic()
        peer.wakes.release()
        found["warm lease"] = peer.wait("lease") - begin
        peer.wait("response")
    finally:
        process.kill()
        process.wait()
    return {name: seconds * 1000 for name, seconds in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--bootstrap", type=Path, default=daemons.path("terality-worker"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for store in (folder, "s3://bucket/prefix"):
            run(given.bootstrap, store)  # the page cache
            runs = [run(given.bootstrap, store) for _ in range(given.runs)]
            kind = "s3" if store.startswith("s3") else "folder"
            for name in runs[0]:
                times = sorted(each[name] for each in runs)
                print(f"{kind:<7} {name:<11} least {times[0]:6.1f} ms   median {statistics.median(times):6.1f} ms")


if __name__ == "__main__":
    main()
