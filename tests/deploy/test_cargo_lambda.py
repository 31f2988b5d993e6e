"""The bootstrap on a runtime API that others wrote: cargo-lambda's."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from terality import daemons

from tests.scheduler.daemon import wait_for
from tests.store.servers import Unavailable, cargo_lambda_binary, free_ports
from tests.worker.test_worker import in_background

from .test_lambda import compare

pytestmark = pytest.mark.artifacts


@pytest.fixture
def api(tmp_path) -> Iterator[str]:
    """Its address; it wants to find a Rust project."""
    if not shutil.which("cargo"):
        pytest.skip("cargo-lambda needs cargo")
    try:
        binary = cargo_lambda_binary()
    except Unavailable as why:
        pytest.skip(str(why))
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    (project / "Cargo.toml").write_text('[package]\nname = "worker"\nversion = "0.1.0"\nedition = "2021"\n')
    (project / "src" / "main.rs").write_text("fn main() {}\n")
    port = free_ports(1)
    process = subprocess.Popen(
        [str(binary), "lambda", "watch", "--only-lambda-apis", "-A", "127.0.0.1", "-P", str(port), "--timeout", "60"],
        cwd=project, stdout=subprocess.DEVNULL, stderr=(tmp_path / "cargo.log").open("wb"), stdin=subprocess.DEVNULL,
    )  # fmt: skip

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_for(listens, 60)
    yield f"127.0.0.1:{port}"
    process.send_signal(signal.SIGINT)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def invoke(api: str, payload: bytes = b'{"wake":1}') -> tuple[int, dict]:
    request = urllib.request.Request(f"http://{api}/2015-03-31/functions/worker/invocations", payload)
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=100) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.loads(refusal.read())


def start(cluster, api: str, **changes: str) -> subprocess.Popen:
    environment = cluster.environment(AWS_LAMBDA_RUNTIME_API=f"{api}/.rt/worker", TERALITY_IDLE_SECONDS="2", **changes)
    return subprocess.Popen([str(daemons.path("terality-worker"))], env=environment, stdout=cluster.log,
                            stderr=cluster.log)  # fmt: skip


def test_invocations(cluster, api, path, table):
    cluster.connect()
    process = start(cluster, api)
    for _ in range(2):
        wait = in_background(lambda: compare("groups", path, table))
        wait_for(lambda: cluster.tenant.worker.get("/v1/capacity")["tasks"]["ready"])
        status, said = invoke(api)
        assert status == 200 and said["end"] == "idle" and said["tasks"] > 0
        wait()
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(30) == 0


def test_an_error(cluster, api, path: Path):
    process = start(cluster, api, TERALITY_WORKER_TOKEN="wrong")
    status, said = invoke(api)
    assert status == 500 and said["errorType"] == "Worker.Scheduler" and "401 wrong_key" in said["errorMessage"]
    process.terminate()
    assert process.wait(30) == 0
