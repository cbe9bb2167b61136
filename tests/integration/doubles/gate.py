"""A gate before a real registry: all goes through, but for what a test does when a request passes.

Some requests may hang, or drip: then bodies are read and answers written one byte at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO

Answer = tuple[int, bytes]
Watch = Callable[[str, str, bytes], Answer | None]
"""Method, path and body of a request -> the response in place of the registry's, if any."""
Which = Callable[[str, str], bool]
"""Method and path of a request -> whether it is one of these."""
_BYTE_SECONDS = 0.3


def _none(method: str, path: str) -> bool:
    del method, path
    return False


@dataclass(slots=True)
class Gate:
    """Where clients come in. watch: looks at every request before it goes on.

    hangs: requests whose bodies are not read and which are never answered. drips: those that move a byte at a
    time.
    """

    behind: str
    watch: Watch = lambda method, path, body: None
    hangs: Which = _none
    drips: Which = _none
    address: str = ""
    asked: list[str] = field(default_factory=list)
    closed: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class _Wire:
    """One connection, whole or a byte at a time."""

    source: IO[bytes]
    sink: IO[bytes]
    drips: bool
    closed: threading.Event

    def read(self, size: int) -> bytes:
        if not self.drips:
            return self.source.read(size)
        return b"".join(self.source.read(1) for _ in range(size) if not self.closed.wait(_BYTE_SECONDS))

    def read_body(self, headers: Message) -> bytes:
        if headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.read(int(headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.source.readline().partition(b";")[0], 16):
            parts.append(self.read(size))
            self.source.readline()
        self.source.readline()
        return b"".join(parts)

    def write(self, body: bytes) -> None:
        step = 1 if self.drips else max(1, len(body))
        for start in range(0, len(body), step):
            if self.drips and self.closed.wait(_BYTE_SECONDS):
                return
            self.sink.write(body[start : start + step])


@contextmanager
def before(registry: str) -> Iterator[Gate]:
    """A gate before the registry at ``host:port``."""
    gate = Gate(registry)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        default_request_version = "HTTP/1.0"  # who says hello in TLS is told in HTTP, and falls back to it

        def _pass(self) -> None:
            if gate.hangs(self.command, self.path):
                gate.asked.append(f"{self.command} {self.path}")
                gate.closed.wait()
                self.close_connection = True
                return
            wire = _Wire(self.rfile, self.wfile, gate.drips(self.command, self.path), gate.closed)
            body = wire.read_body(self.headers)
            gate.asked.append(f"{self.command} {self.path}")
            instead = gate.watch(self.command, self.path, body)
            if instead is not None:
                self._reply(instead[0], {"Content-Type": "application/json"}, instead[1])
                return
            connection = HTTPConnection(gate.behind, timeout=30)
            dropped = {"connection", "transfer-encoding", "content-length"}
            headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
            if body or self.command in {"POST", "PUT", "PATCH"}:
                headers["Content-Length"] = str(len(body))
            try:
                connection.request(self.command, self.path, body=body, headers=headers)
                answer = connection.getresponse()
                kept = {name: value for name, value in answer.getheaders() if name.lower() not in dropped}
                length = answer.headers.get("Content-Length")
                self._reply(answer.status, kept, answer.read(), length)
            finally:
                connection.close()

        do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _pass  # noqa: N815

        def _reply(
            self, status: int, headers: dict[str, str], body: bytes, length: str | None = None
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            head = self.command == "HEAD" and length is not None
            self.send_header("Content-Length", length if head and length else str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                _Wire(self.rfile, self.wfile, gate.drips(self.command, self.path), gate.closed).write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    gate.address = f"127.0.0.1:{server.server_address[1]}"
    try:
        yield gate
    finally:
        gate.closed.set()
        server.shutdown()
        server.server_close()
