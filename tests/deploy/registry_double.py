"""A container registry for tests: holds digests and the order of uploads against the distribution specification."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

USER, PASSWORD, TOKEN = "AWS", "secret-of-an-hour", "token-of-an-hour"


class RegistryDouble:
    """A server on a free loopback port while the context lasts.

    Parameters
    ----------
    auth : str
        ``none``, ``basic`` or ``bearer`` (with a token service on the same port that takes Basic).

    Attributes
    ----------
    blobs, manifests : dict
        What was taken in; manifests by digest and by tag.
    log : list of str
        Method and path of each request that was authorized, without digests' tails.
    trouble : int
        So many of the next uploads are answered 503.
    """

    def __init__(self, auth: str = "basic") -> None:
        self.auth = auth
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.log: list[str] = []
        self.trouble = 0
        self.realm = ""
        self.location = ""
        double = self

        class Handler(_Handler):
            registry = double

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> RegistryDouble:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def put_manifest(self, reference: str, kind: str, body: bytes) -> str:
        """Take a manifest in; gives the code of what is wrong with it, or nothing."""
        document = json.loads(body)
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        if document.get("mediaType") != kind:
            return "MANIFEST_INVALID"
        if reference.startswith("sha256:") and reference != digest:
            return "DIGEST_INVALID"
        blobs = [*document.get("layers", []), *([document["config"]] if "config" in document else [])]
        if any(len(self.blobs.get(blob["digest"], b"")) != blob["size"] for blob in blobs):
            return "MANIFEST_BLOB_UNKNOWN"
        if any(one["digest"] not in self.manifests for one in document.get("manifests", [])):
            return "MANIFEST_UNKNOWN"
        self.manifests[digest] = self.manifests[reference] = (kind, body)
        return ""


class _Handler(BaseHTTPRequestHandler):
    registry: RegistryDouble
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str, **headers: str) -> None:
        self._answer(status, json.dumps({"errors": [{"code": code, "message": "refused"}]}).encode(), **headers)

    def _authorized(self) -> bool:
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        sent = self.headers.get("Authorization", "")
        if self.registry.auth == "none" or sent == {"basic": basic, "bearer": f"Bearer {TOKEN}"}[self.registry.auth]:
            return True
        realm = self.registry.realm or f"{self.registry.url}/token"
        challenge = {"basic": 'Basic realm="double"', "bearer": f'Bearer realm="{realm}",service="double"'}
        self._refuse(401, "UNAUTHORIZED", WWW_Authenticate=challenge[self.registry.auth])
        return False

    def _token(self) -> None:
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        scope = parse_qs(urlsplit(self.path).query).get("scope", [""])[0]
        if self.headers.get("Authorization") != basic or not re.fullmatch(r"repository:[a-z/-]+:pull,push", scope):
            self._refuse(401, "UNAUTHORIZED")
        else:
            self._answer(200, json.dumps({"token": TOKEN}).encode())

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        if parts.path == "/token":
            self._token()
            return
        if not self._authorized():
            return
        self.registry.log.append(re.sub(r"(sha256:.{8}).*", r"\1", f"{self.command} {parts.path}"))
        found = re.fullmatch(r"/v2/([a-z0-9/-]+?)/(blobs|manifests)/(.*)", parts.path)
        if not found:
            self._refuse(404, "NAME_UNKNOWN")
        elif self.command == "HEAD":
            held = self.registry.blobs if found[2] == "blobs" else self.registry.manifests
            self._answer(200 if found[3] in held else 404)
        elif self.command == "POST" and found[3] == "uploads/":
            location = self.registry.location or f"/v2/{found[1]}/blobs/uploads/u1?state=a%2Fb"
            self._answer(202, Location=location)
        elif self.command == "PUT" and self.registry.trouble:
            self.registry.trouble -= 1
            self._refuse(503, "UNAVAILABLE")
        elif self.command == "PUT" and found[3] == "uploads/u1":
            self._blob(parse_qs(parts.query), body)
        elif self.command == "PUT" and found[2] == "manifests":
            code = self.registry.put_manifest(found[3], self.headers.get("Content-Type", ""), body)
            self._refuse(400, code) if code else self._answer(201)
        else:
            self._refuse(405, "UNSUPPORTED")

    def _blob(self, query: dict[str, list[str]], body: bytes) -> None:
        digest = query.get("digest", [""])[0]
        if query.get("state") != ["a/b"]:
            self._refuse(404, "BLOB_UPLOAD_UNKNOWN")
        elif digest != "sha256:" + hashlib.sha256(body).hexdigest():
            self._refuse(400, "DIGEST_INVALID")
        else:
            self.registry.blobs[digest] = body
            self._answer(201)

    do_GET = do_HEAD = do_POST = do_PUT = _serve
