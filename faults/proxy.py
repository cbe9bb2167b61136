"""A proxy in front of the registry that spoils requests: responses are late, lost, cut or wrong."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

_ERROR = b'{"errors":[{"code":"UNKNOWN","message":"spoiled on purpose"}]}'
_PORTAL = b"<html><body>Please sign in to the network</body></html>"
_JSON = {"Content-Type": "application/json"}
_DRIP_SECONDS = 2.0
_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length"}
_UPSTREAM_SECONDS = 30


def kind_of(method: str, path: str) -> str:
    """Return a request's kind: ``GET manifest``, ``HEAD blob``, ``PUT upload``; else ``GET ping``."""
    parts = path.partition("?")[0].split("/")
    for word, name in (("uploads", "upload"), ("manifests", "manifest"), ("blobs", "blob"), ("tags", "tags")):
        if word in parts:
            return f"{method} {name}"
    return f"{method} ping"


@dataclass(slots=True)
class Spoil:
    """A fault of the registry.

    how: a name in `ACTIONS`. where: the kind of request to spoil. skip: how many of that kind pass first.
    times: how many to spoil; None: all. struck: how many were spoiled. passed: how many of the kind came.
    """

    how: str
    where: str
    skip: int = 0
    times: int | None = None
    struck: int = 0
    passed: int = 0

    def takes(self, kind: str) -> bool:
        """Count a request, and return whether to spoil it."""
        if kind != self.where:
            return False
        self.passed += 1
        if self.passed <= self.skip or (self.times is not None and self.struck >= self.times):
            return False
        self.struck += 1
        return True


@dataclass(slots=True)
class Response:
    """A response of the registry. length: its Content-Length, which a HEAD has without a body."""

    status: int
    headers: dict[str, str]
    body: bytes
    length: str | None = None


@dataclass(slots=True)
class Gate:
    """The proxy that clients use. Its address stays when the registry moves; it has one fault at a time.

    behind: ``host:port`` of the registry. address: the proxy's own. asked: every request so far.
    """

    behind: str
    address: str = ""
    asked: list[str] = field(default_factory=list)
    spoil: Spoil | None = None
    released: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def spoiling(self, spoil: Spoil) -> Iterator[Spoil]:
        """Spoil requests until the end, and then release those that hang."""
        self.released.clear()
        self.spoil = spoil
        try:
            yield spoil
        finally:
            self.spoil = None
            self.released.set()

    def action_for(self, kind: str) -> Action | None:
        """Return the action for a request, None to let it pass."""
        with self.lock:
            return ACTIONS[self.spoil.how] if self.spoil and self.spoil.takes(kind) else None


@contextmanager
def opened(registry: str) -> Iterator[Gate]:
    """Start a gate in front of the registry at ``host:port``."""
    gate = Gate(registry)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"gate": gate}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    gate.address = f"127.0.0.1:{server.server_address[1]}"
    try:
        yield gate
    finally:
        server.shutdown()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    """A client's connection."""

    gate: ClassVar[Gate]
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # a TLS client gets an answer in HTTP, and falls back to it

    def handle(self) -> None:
        """Serve the connection until it ends."""
        with suppress(OSError):
            super().handle()

    def serve(self) -> None:
        """Pass a request on, or spoil it."""
        try:
            body = self._read_body()
            self.gate.asked.append(f"{self.command} {self.path}")
            action = self.gate.action_for(kind_of(self.command, self.path))
            if action is None:
                self.reply(self.forward(body))
            else:
                action(self, body)
        except (OSError, ValueError, HTTPException):  # the client went away, or the registry did
            self.reset()

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = serve  # noqa: N815

    def forward(self, body: bytes) -> Response:
        """Send the request to the registry."""
        connection = HTTPConnection(self.gate.behind, timeout=_UPSTREAM_SECONDS)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        if body or self.command in {"POST", "PUT", "PATCH"}:
            headers["Content-Length"] = str(len(body))
        try:
            connection.request(self.command, self.path, body=body, headers=headers)
            answer = connection.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP}
            return Response(answer.status, kept, answer.read(), answer.headers.get("Content-Length"))
        finally:
            connection.close()

    def reply(self, response: Response) -> None:
        """Send this response to the client."""
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        length = response.length if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep the session's output clean."""

    def reset(self) -> None:
        """End the connection so that the client sees a reset."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the fault is over or the client is gone. Return False if only the time ran out."""
        waited = 0.0
        while seconds is None or waited < seconds:
            if self.gate.released.wait(0.1):
                return True
            waited += 0.1
            if select.select([self.connection], [], [], 0)[0]:
                return True
        return False


Action = Callable[[Handler, bytes], None]


def _reset(handler: Handler, body: bytes) -> None:
    del body
    handler.reset()


def _lose_answer(handler: Handler, body: bytes) -> None:
    handler.forward(body)
    handler.reset()


def _hang(handler: Handler, body: bytes) -> None:
    del body
    handler.wait()
    handler.reset()


def _hang_after(handler: Handler, body: bytes) -> None:
    handler.forward(body)
    handler.wait()
    handler.reset()


def _drip(handler: Handler, body: bytes) -> None:
    """Send the response, a byte every two seconds."""
    response = handler.forward(body)
    lines = [f"HTTP/1.1 {response.status} Spoiled", *(f"{k}: {v}" for k, v in response.headers.items())]
    lines += [f"Content-Length: {len(response.body)}", "", ""]
    for byte in "\r\n".join(lines).encode() + response.body:
        handler.connection.sendall(bytes([byte]))
        if handler.wait(_DRIP_SECONDS):
            break
    handler.reset()


def _refuse(status: int, **headers: str) -> Action:
    more = {name.replace("_", "-"): value for name, value in headers.items()}

    def action(handler: Handler, body: bytes) -> None:
        del body
        handler.reply(Response(status, {**_JSON, **more}, _ERROR))

    return action


def _portal(handler: Handler, body: bytes) -> None:
    del body
    handler.reply(Response(200, {"Content-Type": "text/html"}, _PORTAL))


def _truncate(handler: Handler, body: bytes) -> None:
    """Send the length of the whole response, but only half of it."""
    response = handler.forward(body)
    handler.send_response(response.status)
    for name, value in response.headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(max(len(response.body), 2)))
    handler.end_headers()
    handler.wfile.write(response.body[: len(response.body) // 2])
    handler.close_connection = True


def _flip(handler: Handler, body: bytes) -> None:
    """Flip one bit of the response, or of the request if the request has the body."""
    sends = handler.command in {"PUT", "PATCH", "POST"}
    response = handler.forward(_flipped(body) if sends else body)
    response.body = response.body if sends else _flipped(response.body)
    handler.reply(response)


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(byte ^ 1 for byte in content[middle : middle + 1]) + content[middle + 1 :]


def _change_header(name: str, value: str) -> Action:
    def action(handler: Handler, body: bytes) -> None:
        response = handler.forward(body)
        response.headers = {
            each: was for each, was in response.headers.items() if each.lower() != name.lower()
        }
        response.headers[name] = value
        handler.reply(response)

    return action


def _not_found(handler: Handler, body: bytes) -> None:
    del body
    handler.reply(Response(404, _JSON, b'{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}'))


def _claim(handler: Handler, body: bytes) -> None:
    """Answer a HEAD as if the blob exists, whether it does or not."""
    del body
    digest = handler.path.rpartition("/")[2]
    handler.reply(Response(200, {"Docker-Content-Digest": digest}, b"", length="100"))


ACTIONS: dict[str, Action] = {
    "reset": _reset,
    "lost-answer": _lose_answer,
    "hang": _hang,
    "hang-after": _hang_after,
    "drip": _drip,
    "429": _refuse(429, Retry_After="1"),
    "500": _refuse(500),
    "503": _refuse(503),
    "401": _refuse(401, WWW_Authenticate='Basic realm="spoiled"'),
    "403": _refuse(403),
    "portal": _portal,
    "truncated": _truncate,
    "flipped": _flip,
    "wrong-type": _change_header("Content-Type", "text/html"),
    "wrong-digest": _change_header("Docker-Content-Digest", "sha256:" + "0" * 64),
    "not-found": _not_found,
    "false-claim": _claim,
}
