"""Workers without a token: they prove their role to the scheduler, and a double of STS judges their signature."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from terality import daemons

from tests.deploy import aws_double
from tests.scheduler.daemon import Scheduler, Tenant, wait_for
from tests.scheduler.test_aws_settings import SETTINGS
from tests.worker.cluster import Cluster
from tests.worker.test_worker import in_background

from .test_lambda import compare, invoke

ROLE = "terality-one-worker-lambda"


@pytest.fixture(scope="module")
def sts() -> Iterator[aws_double.AwsDouble]:
    with aws_double.running() as double:
        yield double


@pytest.fixture
def proven(cluster: Cluster, sts) -> Cluster:
    """The cluster's scheduler takes proofs; its deployment knows its roles."""
    cluster.scheduler.stop()
    cluster.scheduler = Scheduler(
        cluster.folder / "proven", "--sts-endpoint", sts.url, "--aws-endpoint", sts.url, "--lease-ms", "4000"
    ).start()
    cluster.url = cluster.scheduler.url
    cluster.tenant = Tenant(cluster.scheduler, "tenant")
    # The scheduler's own role is not there, so it starts nothing by itself.
    cluster.tenant.api.call("PUT", "/v1/deployments/main/aws", SETTINGS)
    return cluster


def settings_of(sts, deployment: str, role: str = ROLE) -> dict[str, str]:
    access, secret, token = sts.session(role)
    return {
        "TERALITY_WORKER_TOKEN": "",
        "TERALITY_DEPLOYMENT": deployment,
        "TERALITY_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL_STS": sts.url,
        "AWS_ACCESS_KEY_ID": access,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_SESSION_TOKEN": token,
    }


def test_a_worker_proves_its_role(proven, sts, path, table):
    given = settings_of(sts, proven.tenant.deployment)
    proven.worker(**given)
    proven.connect()
    compare("groups", path, table)
    assert sts.made("sts", "GetCallerIdentity")[-1].who.endswith(f"assumed-role/{ROLE}/session")
    # What the audit keeps of the proof is that there was one.
    proven.workers[-1].terminate()
    assert proven.workers[-1].wait(60) == 0
    kept = b"".join(file.read_bytes() for file in (proven.store / "audit").rglob("*") if file.is_file())
    assert b"/v1/workers/identity" in kept
    assert given["AWS_SESSION_TOKEN"].encode() not in kept and b"trw_" not in kept


def test_as_a_lambda_function(proven, sts, aws_lambda, function, path, table):
    made = function(settings_of(sts, proven.tenant.deployment) | {"TERALITY_SCHEDULER": proven.scheduler.url})
    proven.connect()
    before = len(sts.made("sts", "GetCallerIdentity"))
    for _ in range(2):
        wait = in_background(lambda: compare("groups", path, table))
        wait_for(lambda: proven.tenant.api.get("/v1/capacity", deployment="main")["tasks"]["ready"])
        assert json.loads(invoke(aws_lambda)[2])["tasks"] > 0
        wait()
        wait_for(lambda: made.free)
    # One proof for the process, not one for each invocation.
    assert made.starts == 1 and len(sts.made("sts", "GetCallerIdentity")) == before + 1


def run(cluster, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(daemons.path("terality-worker"))], env=cluster.environment(**environment), capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


def test_who_is_refused(proven, sts):
    done = run(proven, **settings_of(sts, proven.tenant.deployment, "somebody"))
    assert done.returncode == 1 and "403 identity_refused" in done.stderr and "somebody" in done.stderr
    done = run(proven, **settings_of(sts, "nowhere"))
    assert done.returncode == 1 and "nowhere" in done.stderr
    good = settings_of(sts, proven.tenant.deployment)
    done = run(proven, **{**good, "TERALITY_REGION": ""}, AWS_REGION="", AWS_DEFAULT_REGION="")
    assert done.returncode == 1 and "TERALITY_REGION is not set" in done.stderr
    done = run(proven, **{**good, "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1"})
    assert done.returncode == 1 and "is no STS of region" in done.stderr
    assert good["AWS_SECRET_ACCESS_KEY"] not in done.stderr


class Forgetful(ThreadingHTTPServer):
    """A scheduler whose tokens hold for two seconds, and which once forgets one."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.given = 0
        self.forgets = 0
        self.used: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Forgetful

    def answer(self, status: int, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self.answer(200, {"server_id": "s1", "nonce": "n1", "expires_s": 300})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        if self.path == "/v1/workers/identity":
            headers = body["headers"]
            assert headers["x-terality-server"] == "s1" and headers["x-terality-nonce"] == "n1"
            signed = headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
            assert set(signed) == set(headers) - {"authorization"}
            assert body["url"] == "https://sts.cn-north-1.amazonaws.com.cn/"
            assert headers["host"] == "sts.cn-north-1.amazonaws.com.cn"
            server.given += 1
            self.answer(200, {"token": f"trw_{server.given}", "expires_s": 2})
            return
        server.used.append(self.headers["Authorization"])
        if server.forgets:
            server.forgets -= 1
            self.answer(401, {"error": {"code": "wrong_key", "message": "who?", "request_id": "r"}})
        else:
            threading.Event().wait(0.3)
            self.answer(200, {"tasks": [], "cancel": [], "drain": len(server.used) > 12})

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_tokens_are_renewed(tmp_path):
    server = Forgetful()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TERALITY_"))},
        "TERALITY_SCHEDULER": f"http://127.0.0.1:{server.server_address[1]}",
        "TERALITY_DEPLOYMENT": "d1",
        "TERALITY_REGION": "cn-north-1",
        "TERALITY_STORE": str(tmp_path),
        "AWS_ACCESS_KEY_ID": "AK",
        "AWS_SECRET_ACCESS_KEY": "SK",
        "AWS_SESSION_TOKEN": "T",
    }
    server.forgets = 1
    done = subprocess.run(
        [str(daemons.path("terality-worker"))],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    server.shutdown()
    server.server_close()
    assert done.returncode == 0, done.stderr
    assert server.used[:2] == ["Bearer trw_1", "Bearer trw_2"]  # forgotten: proven again at once
    assert server.given > 2 and server.used[-1] == f"Bearer trw_{server.given}"  # before it ends
