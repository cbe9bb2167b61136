"""A collector of OpenTelemetry: takes traces over HTTP, as OTLP has them, and keeps their spans."""

from __future__ import annotations

import gzip
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue


@dataclass(frozen=True)
class Span:
    """A span as it arrived. started, finished: nanoseconds since the epoch. failed: by its status."""

    name: str
    trace: str
    id: str
    parent: str
    started: int
    finished: int
    attributes: dict[str, Any]
    events: tuple[dict[str, Any], ...]
    failed: bool
    message: str
    service: str


class Collector(http.server.ThreadingHTTPServer):
    """Keeps what it gets at ``/v1/traces``. status: the code of its answers; None: it never answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status: int | None = 200
        self.spans: list[Span] = []
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def named(self, name: str) -> Span:
        (span,) = [each for each in self.spans if each.name == name]
        return span

    def named_of(self, service: str, name: str) -> Span:
        (span,) = [each for each in self.spans if (each.service, each.name) == (service, name)]
        return span

    def below(self, span: Span) -> list[Span]:
        return [each for each in self.spans if each.parent == span.id]

    def keep(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            service = _attributes(resource.resource.attributes).get("service.name", "")
            for scope in resource.scope_spans:
                for each in scope.spans:
                    span = Span(
                        name=each.name,
                        trace=each.trace_id.hex(),
                        id=each.span_id.hex(),
                        parent=each.parent_span_id.hex(),
                        started=each.start_time_unix_nano,
                        finished=each.end_time_unix_nano,
                        attributes=_attributes(each.attributes),
                        events=tuple(
                            {"name": event.name, **_attributes(event.attributes)} for event in each.events
                        ),
                        failed=each.status.code == each.status.STATUS_CODE_ERROR,
                        message=each.status.message,
                        service=service,
                    )
                    self.spans.append(span)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.status is None:
            self.server.ended.wait()
            return
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        answer = b""
        if self.server.status == 200 and self.path == "/v1/traces":
            assert self.headers["Content-Type"] == "application/x-protobuf"
            self.server.keep(ExportTraceServiceRequest.FromString(body))
            answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _attributes(pairs: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(_value(each) for each in value.array_value.values)
    return getattr(value, kind) if kind else None


@contextmanager
def running_collector() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield collector
        finally:
            collector.ended.set()
            collector.shutdown()
            thread.join()
