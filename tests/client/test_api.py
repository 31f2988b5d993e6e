"""The client's side of the API, against a small server that answers as scripted."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from terality.remote import api as api_module
from terality.remote.api import Api, ApiError, ConnectionLost


class Scripted(http.server.BaseHTTPRequestHandler):
    """Gives the replies of `script` in turn; None closes the connection without a word."""

    protocol_version = "HTTP/1.1"
    script: ClassVar[list[Any]] = []
    seen: ClassVar[list[tuple[str, str, dict[str, str], bytes]]] = []

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        type(self).seen.append((self.command, self.path, dict(self.headers), body))
        reply = type(self).script.pop(0)
        if reply is None:
            self.close_connection = True
            return
        status, content = reply
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("X-Request-Id", "r-17")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Any]:
    Scripted.script, Scripted.seen = [], []
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    thread = threading.Thread(target=made.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def api(server: Any, monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setattr(api_module, "_PATIENCE_SECONDS", 1.0)
    return Api(f"http://127.0.0.1:{server.server_address[1]}", "tk_key", timeout_seconds=5)


def test_requests_carry_key_and_version(api: Api) -> None:
    Scripted.script = [(200, {"queries": []}), (201, {"query": "q1"})]
    assert api.get("/v1/queries", limit=3, seen=None) == {"queries": []}
    assert api.post("/v1/queries", {"plan": "ä"}) == {"query": "q1"}
    (method, path, headers, _), (_, _, _, body) = Scripted.seen
    assert (method, path) == ("GET", "/v1/queries?limit=3")
    assert headers["Authorization"] == "Bearer tk_key"
    assert headers["Terality-Version"] == "1"
    assert json.loads(body) == {"plan": "ä"}


def test_a_refusal_carries_status_code_text_and_request_id(api: Api) -> None:
    Scripted.script = [(401, {"error": {"code": "no_key", "message": "the key is revoked", "request_id": "r-17"}})]
    with pytest.raises(ApiError, match=r"the key is revoked \(HTTP 401 no_key, request r-17\)") as caught:
        api.get("/v1/queries")
    assert (caught.value.status, caught.value.code, caught.value.request_id) == (401, "no_key", "r-17")


@pytest.mark.parametrize(("reply", "text"), [((200, b"<html>"), "is this a scheduler"), ((502, b"<html>"), "HTTP 502")])
def test_what_is_no_scheduler_is_said_so(api: Api, reply: Any, text: str) -> None:
    Scripted.script = [reply]
    with pytest.raises(ApiError, match=text):
        api.get("/v1/queries")


def test_reads_are_repeated_while_the_scheduler_is_away(api: Api) -> None:
    Scripted.script = [(503, {}), None, (200, {"ok": 1})]
    assert api.get("/healthz") == {"ok": 1}
    assert len(Scripted.seen) == 3


def test_a_post_that_may_have_arrived_is_not_repeated(api: Api) -> None:
    Scripted.script = [None, (201, {})]
    with pytest.raises(ConnectionLost, match="broke during POST /v1/queries"):
        api.post("/v1/queries", {})
    assert len(Scripted.seen) == 1
    assert api.post("/v1/queries", {}, again=True) == {}


def test_a_wait_for_the_scheduler_is_announced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_module, "_MOMENT_SECONDS", 0.1)
    said: list[str] = []
    with pytest.raises(ConnectionLost):
        Api("http://127.0.0.1:9", "k", patience_seconds=1.5, telling=said.append).get("/v1/deployments")
    assert len(said) == 1
    assert said[0].startswith("http://127.0.0.1:9: no scheduler answers (")


def test_nobody_there_is_told_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_module, "_PATIENCE_SECONDS", 0.2)
    with pytest.raises(ConnectionLost, match="no scheduler answers"):
        Api("http://127.0.0.1:9", "k").post("/v1/queries", {})


@pytest.mark.parametrize("url", ["http://scheduler.example", "ftp://127.0.0.1", "127.0.0.1:80"])
def test_urls_that_would_send_the_key_in_the_open_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        Api(url, "k")
