"""The scheduler's API as the client uses it: one keep-alive connection, versions checked, errors with a request id.

Paths and bodies are described in docs/openapi.json. Only metadata passes here; data goes between the client and the
bucket.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

__all__ = ["VERSION", "Api", "ApiError", "ConnectionLost"]

VERSION = 1  # of the protocol; N and N-1 work together
_PATIENCE_SECONDS = 60.0  # how long a scheduler that restarts is waited for
_MOMENT_SECONDS = 1.0  # a pause longer than this is told
_MOST_BYTES = 64 << 20  # of one reply


class ApiError(RuntimeError):
    """The scheduler refused a request.

    Attributes
    ----------
    status : int
        HTTP status.
    code : str
        Short name of the fault.
    request_id : str
        What the scheduler's log calls the request.
    """

    def __init__(self, status: int, code: str, message: str, request_id: str) -> None:
        super().__init__(f"{message} (HTTP {status} {code}, request {request_id or 'unknown'})")
        self.status = status
        self.code = code
        self.request_id = request_id


class ConnectionLost(ConnectionError):
    """The scheduler cannot be reached."""


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Api:
    """Requests to one scheduler; safe with threads (one connection each) and after fork.

    Parameters
    ----------
    url : str
        ``https://host[:port]``; plain http is refused except on loopback.
    key : str
        API key, sent as a bearer token.
    timeout_seconds : float
        Of one request, long polls aside.
    sending : function, optional
        Called with method, path and body (JSON text) of each request before it is sent.
    patience_seconds : float
        How long a scheduler that is away is waited for.
    telling : function, optional
        Called once with a line for the user when that takes more than a moment.
    """

    def __init__(
        self,
        url: str,
        key: str,
        timeout_seconds: float = 30.0,
        sending: Callable[[str, str, str], None] | None = None,
        patience_seconds: float = _PATIENCE_SECONDS,
        telling: Callable[[str], None] | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url {url!r}: expected https://host[:port]")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ValueError(f"url {url!r}: plain http is for loopback only; use https")
        self.url = f"{parts.scheme}://{parts.netloc}"
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._prefix = parts.path.rstrip("/")
        self._key = key
        self._timeout = timeout_seconds
        self._sending = sending
        self._patience = patience_seconds
        self._telling = telling
        self._local = threading.local()

    def __repr__(self) -> str:
        return f"Api({self.url!r})"

    def get(self, path: str, *, wait_ms: int | None = None, **query: Any) -> Any:
        """GET a path; repeated while the scheduler is away, up to a minute. `wait_ms` makes it a long poll."""
        if wait_ms is not None:
            query["wait_ms"] = wait_ms
        if query:
            path += "?" + urlencode({name: value for name, value in query.items() if value is not None})
        return self._patient("GET", path, None, self._timeout + (wait_ms or 0) / 1000)

    def post(self, path: str, body: Any, *, again: bool = False) -> Any:
        """POST a JSON body once; a scheduler that is away before anything was sent is waited for.

        With `again` it is also repeated when the connection broke in the middle, so that it may arrive twice.
        """
        return self._patient("POST", path, body, self._timeout, again)

    def put(self, path: str, body: Any) -> Any:
        """PUT a JSON body (idempotent, repeated like GET)."""
        return self._patient("PUT", path, body, self._timeout)

    def delete(self, path: str) -> Any:
        """DELETE a path (idempotent, repeated like GET)."""
        return self._patient("DELETE", path, None, self._timeout)

    def _patient(self, method: str, path: str, body: Any, timeout: float, again: bool = True) -> Any:
        end = time.monotonic() + self._patience
        pause = 0.05
        told = False
        while True:
            try:
                return self._once(method, path, body, timeout)
            except _NotSent as fault:
                lost = fault
            except (OSError, http.client.HTTPException) as fault:
                if not again:
                    raise ConnectionLost(f"{self.url}: the connection broke during {method} {path}: {fault}") from fault
                lost = fault  # type: ignore[assignment]
            except ApiError as fault:
                if fault.status != 503 or not again:
                    raise
                lost = fault  # type: ignore[assignment]
            if time.monotonic() + pause > end:
                raise ConnectionLost(f"{self.url}: no scheduler answers: {lost}") from lost
            if pause > _MOMENT_SECONDS and self._telling and not told:
                self._telling(
                    f"{self.url}: no scheduler answers ({lost}); trying for up to {self._patience:.0f} seconds"
                )
                told = True
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def _connection(self, timeout: float) -> tuple[http.client.HTTPConnection, bool]:
        """Give this thread's connection, and whether it was in use before."""
        kept = getattr(self._local, "connection", None)
        if kept is not None:
            kept.timeout = timeout
            if kept.sock is not None:
                kept.sock.settimeout(timeout)
            return kept, kept.sock is not None
        if self._secure:
            made: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._host, self._port, timeout=timeout, context=ssl.create_default_context()
            )
        else:
            made = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        self._local.connection = made
        return made, False

    def _once(self, method: str, path: str, body: Any, timeout: float) -> Any:
        headers = {
            "Authorization": f"Bearer {self._key}",
            "Terality-Version": str(VERSION),
            "Accept": "application/json",
        }
        data = None
        if body is not None:
            data = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
            headers["Content-Type"] = "application/json"
        connection, used = self._connection(timeout)
        try:
            try:
                if connection.sock is None:
                    connection.connect()
            except OSError as fault:
                raise _NotSent(str(fault)) from fault
            if self._sending is not None:
                self._sending(method, path, (data or b"").decode())
            try:
                connection.request(method, self._prefix + path, data, headers)
                reply = connection.getresponse()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as fault:
                # A kept connection that the server had closed in the meantime: nothing was taken in.
                if used:
                    raise _NotSent(str(fault)) from fault
                raise
            content = reply.read(_MOST_BYTES + 1)
        except BaseException:
            connection.close()
            self._local.connection = None
            raise
        return _answer(reply, content)


class _NotSent(ConnectionError):
    """Nothing reached the scheduler."""


def _answer(reply: http.client.HTTPResponse, content: bytes) -> Any:
    request_id = reply.headers.get("X-Request-Id", "")
    if len(content) > _MOST_BYTES:
        raise ApiError(reply.status, "reply_too_large", f"a reply of more than {_MOST_BYTES} bytes", request_id)
    try:
        value = json.loads(content) if content else None
    except ValueError:
        value = None
        if reply.status < 400:
            raise ApiError(reply.status, "no_json", "the reply is no JSON: is this a scheduler?", request_id) from None
    if reply.status < 400:
        return value
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict):
        raise ApiError(reply.status, "http", reply.reason or "refused", request_id)
    code, message = str(error.get("code", "")), str(error.get("message", reply.reason))
    raise ApiError(reply.status, code, message, request_id or str(error.get("request_id", "")))
