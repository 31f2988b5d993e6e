"""What a program finds around it on AWS: instance metadata (IMDSv2), a container's endpoints, STS' identity tokens.

And a bucket that keeps nothing and notes whose keys a request is signed with.
"""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

TASK = "arn:aws:ecs:eu-west-1:123456789012:task/terality-one/0123456789abcdef0123456789abcdef"
INSTANCE = "i-0123456789abcdef0"


def iso(seconds: float) -> str:
    """Give a time so far from now."""
    return f"{datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


class MachineDouble:
    """The model; `lifetime` is how long keys hold, `n` how often they were given."""

    def __init__(self) -> None:
        self.lifetime = 3600.0
        self.n = 0
        self.authorization: str | None = None
        self.tokens: set[str] = set()
        self.labels: dict[str, str] = {"com.amazonaws.ecs.task-arn": TASK}
        self.notice: dict[str, str] | None = None
        self.seen: list[tuple[str, str]] = []  # access key and token of each request to a bucket
        self.asked: list[tuple[str, str]] = []
        self.forms: list[dict[str, str]] = []
        self.url = ""

    def keys(self, prefix: str) -> dict[str, str]:
        self.n += 1
        name = f"{prefix}{self.n}"
        return {"AccessKeyId": f"AK{name}", "SecretAccessKey": f"SK{name}", "Token": f"T{name}",
                "Expiration": iso(self.lifetime)}  # fmt: skip

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes, str]:
        self.asked.append((method, path))
        if path == "/latest/api/token" and method == "PUT":
            assert 0 < int(headers["x-aws-ec2-metadata-token-ttl-seconds"]) <= 21600
            self.tokens.add(f"session-{len(self.tokens)}")
            return 200, f"session-{len(self.tokens) - 1}".encode(), "text/plain"
        if path.startswith("/latest/"):
            if headers.get("x-aws-ec2-metadata-token") not in self.tokens:
                return 401, b"", "text/plain"
            return self.metadata(path)
        if path.startswith("/v2/credentials"):
            if self.authorization and headers.get("authorization") != self.authorization:
                return 401, b"{}", "application/json"
            return 200, json.dumps({"RoleArn": "r", **self.keys("C")}).encode(), "application/json"
        if path.startswith("/v4/"):
            container = {"DockerId": "x", "Name": "worker", "Labels": self.labels}
            return 200, json.dumps(container).encode(), "application/json"
        if method == "POST" and b"AssumeRoleWithWebIdentity" in body:
            return self.web_identity(headers, body)
        access = headers.get("authorization", "=/").split("=", 1)[1].split("/")[0]
        self.seen.append((access, headers.get("x-amz-security-token", "")))
        return 403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>", "application/xml"

    def metadata(self, path: str) -> tuple[int, bytes, str]:
        folder = "/latest/meta-data/iam/security-credentials/"
        if path == folder:
            return 200, b"worker-role", "text/plain"
        if path == f"{folder}worker-role":
            document = {"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": iso(0), **self.keys("I")}
            return 200, json.dumps(document).encode(), "text/plain"
        if path == "/latest/meta-data/instance-id":
            return 200, INSTANCE.encode(), "text/plain"
        if path == "/latest/meta-data/spot/instance-action" and self.notice:
            return 200, json.dumps(self.notice).encode(), "text/plain"
        return 404, b"", "text/html"

    def web_identity(self, headers: dict[str, str], body: bytes) -> tuple[int, bytes, str]:
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        self.forms.append(form)
        assert "authorization" not in headers
        if form["WebIdentityToken"] != "ey.J.token":
            text = "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>bad token</Message></Error>"
            return 400, f"{text}</ErrorResponse>".encode(), "text/xml"
        keys = self.keys("W")
        inside = f"<AccessKeyId>{keys['AccessKeyId']}</AccessKeyId>"
        inside += f"<SecretAccessKey>{keys['SecretAccessKey']}</SecretAccessKey>"
        inside += f"<SessionToken>{keys['Token']}</SessionToken><Expiration>{keys['Expiration']}</Expiration>"
        name = "AssumeRoleWithWebIdentity"
        inside = f"<{name}Result><Credentials>{inside}</Credentials></{name}Result>"
        whole = f"<{name}Response>{inside}</{name}Response>"
        return 200, whole.encode(), "text/xml"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    model: MachineDouble


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, data, kind = self.server.model.answer(self.command, self.path, headers, body)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = handle_any

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve(model: MachineDouble, address: str = "127.0.0.1", port: int = 0) -> ThreadingHTTPServer:
    """Serve the model at an address, in a thread."""
    server = _Server((address, port), _Handler)
    server.model = model
    model.url = f"http://{address}:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@contextmanager
def running() -> Iterator[MachineDouble]:
    model = MachineDouble()
    server = serve(model)
    yield model
    server.shutdown()
    server.server_close()
