"""An idle worker stays while the scheduler says that there will be work, and ends by itself when it does not."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from terality import daemons


class Waiting(ThreadingHTTPServer):
    """A scheduler without work, which tells workers to stay for `stays` calls."""

    daemon_threads = True

    def __init__(self, stays: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stays = stays
        self.waits: list[int] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Waiting

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.waits.append(body["wait_ms"])
        threading.Event().wait(body["wait_ms"] / 1000)
        stay = len(self.server.waits) <= self.server.stays
        data = json.dumps({"tasks": [], "cancel": [], "drain": False, **({"idle_ms": 600000} if stay else {})}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("stays", [0, 1])
def test_idle_workers_stay_when_told(tmp_path, stays):
    server = Waiting(stays)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        "TERALITY_SCHEDULER": f"http://127.0.0.1:{server.server_address[1]}",
        "TERALITY_WORKER_TOKEN": "trw_x",
        "TERALITY_STORE": str(tmp_path),
    }
    command = [str(daemons.path("terality-worker")), "--idle-seconds", "1", "--die-with-parent"]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, timeout=120, check=False)
    server.shutdown()
    server.server_close()
    assert done.returncode == 0, done.stderr
    # Its own second is over with the first call (whose last millisecond may be a second one). Told to stay for minutes
    # it asks every five seconds whether that still holds; told nothing more it ends at once.
    assert 0 < server.waits[0] <= 1000
    assert server.waits[1:].count(5000) == stays and all(wait < 100 for wait in server.waits[1 + stays :])
