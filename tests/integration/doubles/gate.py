"""A gate before a real registry: all goes through, but for what a test does when a request passes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = tuple[int, bytes]
Watch = Callable[[str, str, bytes], Answer | None]
"""Method, path and body of a request -> what is answered instead of the registry, if anything."""


@dataclass(slots=True)
class Gate:
    """Where clients come in. watch: looks at every request before it goes on."""

    behind: str
    watch: Watch = lambda method, path, body: None
    address: str = ""
    asked: list[str] = field(default_factory=list)


@contextmanager
def before(registry: str) -> Iterator[Gate]:
    """A gate before the registry at ``host:port``."""
    gate = Gate(registry)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        default_request_version = "HTTP/1.0"  # who says hello in TLS is told in HTTP, and falls back to it

        def _pass(self) -> None:
            body = self._body()
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

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = []
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

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
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    gate.address = f"127.0.0.1:{server.server_address[1]}"
    try:
        yield gate
    finally:
        server.shutdown()
        server.server_close()
