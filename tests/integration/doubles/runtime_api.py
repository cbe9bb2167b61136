"""The Lambda Runtime API on loopback, for one function: hands out events, takes the answers.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json
import queue
import threading
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

_BASE = "/2018-06-01/runtime"
_DEADLINE_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the function answered to one event. error: whether it raised."""

    request: str
    body: Any
    error: bool


@dataclass(slots=True)
class RuntimeApi:
    """A context manager; ``address`` is what AWS_LAMBDA_RUNTIME_API takes."""

    address: str = ""
    _events: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)
    _answers: queue.SimpleQueue[Answer] = field(default_factory=queue.SimpleQueue)
    _server: ThreadingHTTPServer | None = None
    closing: threading.Event = field(default_factory=threading.Event)

    def ask(self, event: Any, *, seconds: float = 60) -> Answer:
        """Send an event to the function and wait for its answer. Raises queue.Empty when none comes."""
        self._events.put(event)
        return self._answers.get(timeout=seconds)

    def __enter__(self) -> Self:
        api = self

        class Handler(_Handler):
            owner = api

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def next_event(self) -> Any | None:
        """Wait for an event as long as there is somebody to bring one."""
        while not self.closing.is_set():
            try:
                return self._events.get(timeout=0.1)
            except queue.Empty:
                continue
        return None

    def take(self, answer: Answer) -> None:
        """Take what the function says."""
        self._answers.put(answer)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: RuntimeApi

    def do_GET(self) -> None:
        if self.path != f"{_BASE}/invocation/next":
            self._reply(404, b"{}")
            return
        event = self.owner.next_event()
        if event is None:
            self.close_connection = True
            return
        deadline = int((time.time() + _DEADLINE_SECONDS) * 1000)
        self._reply(
            200,
            json.dumps(event).encode(),
            {
                "Lambda-Runtime-Aws-Request-Id": str(uuid.uuid4()),
                "Lambda-Runtime-Deadline-Ms": str(deadline),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:123456789012:function:test",
                "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0",
            },
        )

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request, _, kind = self.path.removeprefix(f"{_BASE}/").removeprefix("invocation/").partition("/")
        body = json.loads(raw or b"null")
        self.owner.take(Answer(request=request, body=body, error=kind != "response"))
        self._reply(202, b'{"status": "OK"}')

    def _reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        # awslambdaric ends itself when an event comes without a content type.
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep the test's output clean."""
