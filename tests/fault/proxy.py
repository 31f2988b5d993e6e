"""An HTTP proxy in front of a scheduler or an object store: it keeps what passes, and does harm where it is told to.

Requests and replies pass byte for byte, so signatures stay good. What happens to a request is decided by a rule, a
function of the exchange; it may also do something of its own, kill a process say, before the request goes on.

    ""         passes                                   "drop"      the connection ends, nothing was sent on
    "500"      answered so, nothing was sent on         "lost"      sent on and done, but the answer is thrown away
    "503", "403"  the same                              "truncate"  half of the answer, then the connection ends
    "slow"     a second and a half late
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass
class Exchange:
    """A request; `reply` is filled when there is one."""

    number: int  # from 1, in the order of arrival
    method: str
    target: str
    head: bytes
    body: bytes
    reply: bytes = b""


def refusal(status: str) -> bytes:
    """Give an answer as S3 words it."""
    code = {"503": "SlowDown", "403": "ExpiredToken"}.get(status, "InternalError")
    text = f"<Error><Code>{code}</Code><Message>made on purpose</Message></Error>"
    head = f"HTTP/1.1 {status} Made On Purpose\r\nContent-Type: application/xml\r\nContent-Length: {len(text)}"
    return f"{head}\r\n\r\n{text}".encode()


class _Stream:
    """Messages read from a connection."""

    def __init__(self, connection: socket.socket):
        self.connection, self.have = connection, b""

    def more(self) -> None:
        came = self.connection.recv(1 << 18)
        if not came:
            raise ConnectionError("ended")
        self.have += came

    def upto(self, end: bytes) -> bytes:
        while end not in self.have:
            self.more()
        at = self.have.index(end) + len(end)
        taken, self.have = self.have[:at], self.have[at:]
        return taken

    def exactly(self, n: int) -> bytes:
        parts, left = [], n
        while left:
            if not self.have:
                self.more()
            parts.append(self.have[:left])
            self.have = self.have[left:]
            left -= len(parts[-1])
        return b"".join(parts)

    def body(self, head: bytes) -> bytes:
        fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
        if b"chunked" in fields.get(b"transfer-encoding", b""):
            whole = b""
            while True:
                size = self.upto(b"\r\n")
                chunk = self.exactly(int(size.split(b";")[0], 16) + 2)
                whole += size + chunk
                if size.strip() == b"0":
                    return whole
        return self.exactly(int(fields.get(b"content-length", b"0")))


class Proxy:
    """Listens on a free port of loopback from the start to ``stop()``.

    Parameters
    ----------
    upstream : str
        URL of the server behind.
    rule : function, optional
        What happens to an exchange, see above.
    after : function, optional
        Called with the exchange when its reply has come and is not yet passed on.
    """

    def __init__(
        self,
        upstream: str,
        rule: Callable[[Exchange], str] | None = None,
        after: Callable[[Exchange], None] | None = None,
    ):
        at = urlsplit(upstream)
        self.upstream = (at.hostname, at.port)
        self.rule, self.after = rule, after
        self.exchanges: list[Exchange] = []
        self._numbers = itertools.count(1)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def passed(self) -> bytes:
        """Everything that went either way."""
        return b"\n".join(e.head + e.body + e.reply for e in self.exchanges)

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        behind: socket.socket | None = None
        with connection, contextlib.suppress(OSError, ValueError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client = _Stream(connection)
            try:
                while True:
                    head = client.upto(b"\r\n\r\n")
                    if b"100-continue" in head.lower():
                        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                    method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
                    exchange = Exchange(next(self._numbers), method, target, head, client.body(head))
                    self.exchanges.append(exchange)
                    fault = self.rule(exchange) if self.rule else ""
                    if fault == "drop":
                        return
                    if fault in ("500", "503", "403"):
                        connection.sendall(refusal(fault))
                        continue
                    if fault == "slow":
                        time.sleep(1.5)
                    if behind is None:
                        behind = socket.create_connection(self.upstream)
                        behind.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        server = _Stream(behind)
                    behind.sendall(exchange.head + exchange.body)
                    exchange.reply = self._reply(server, method)
                    if self.after:
                        self.after(exchange)
                    if fault == "lost":
                        return
                    if fault == "truncate":
                        connection.sendall(exchange.reply[: (len(exchange.reply) + 1) // 2])
                        return
                    connection.sendall(exchange.reply)
            finally:
                if behind is not None:
                    behind.close()

    @staticmethod
    def _reply(server: _Stream, method: str) -> bytes:
        while True:
            head = server.upto(b"\r\n\r\n")
            status = int(head[9:12])
            if status >= 200:
                break
        return head + (b"" if method == "HEAD" or status in (204, 304) else server.body(head))
