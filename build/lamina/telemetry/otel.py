"""Record the spans of one command with OpenTelemetry's SDK, and send them at its end.

The ``OTEL_*`` variables are the SDK's own. Nothing is sent while the command runs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from lamina.parallel import within
from lamina.telemetry.spans import Attribute, SpanValue

_REST = 1.0
"""Seconds that looking up the collector's name and the like may take beside it."""
_BATCH = 512
_NANO = 1_000_000_000


class Recorder:
    """The spans of one command. Its own begins when this is made, and is the parent of what it starts.

    Args:
        env: may have the parent of the command's span.
        version: of Lamina.
        started: seconds since the epoch.
        hide: masks secrets in a text.
    """

    def __init__(
        self,
        command: str,
        *,
        env: Mapping[str, str],
        version: str,
        started: float,
        hide: Callable[[str], str],
    ) -> None:
        self._said = _Said()
        self._hide = hide
        self._memory = InMemorySpanExporter()
        ours = Resource.create({"service.name": "lamina", "service.version": version})
        provider = TracerProvider(
            resource=ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
        )
        provider.add_span_processor(SimpleSpanProcessor(self._memory))
        self._tracer = provider.get_tracer("lamina", version)
        parent = TraceContextTextMapPropagator().extract(
            {name: env[name.upper()] for name in ("traceparent", "tracestate") if env.get(name.upper())}
        )
        self._span = self._tracer.start_span(f"lamina {command}", parent, start_time=_nanoseconds(started))

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables that make spans of other programs children of the command's."""
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier, trace.set_span_in_context(self._span))
        return {name.upper(): value for name, value in carrier.items()}

    def end(self, value: SpanValue) -> None:
        """End the command's span, with all that are below it."""
        self._fill(self._span, value)

    def send(self, seconds: float) -> str | None:
        """Send all spans. Return why they were not sent, or not in time; None on success.

        seconds: that a request may take, with its repetitions.
        """
        spans = self._memory.get_finished_spans()
        failed: list[str] = []

        def export() -> None:
            try:
                exporter: SpanExporter = OTLPSpanExporter(timeout=seconds)
                for first in range(0, len(spans), _BATCH):
                    if exporter.export(spans[first : first + _BATCH]) is not SpanExportResult.SUCCESS:
                        failed.append(self._said.last or "the collector refused them")
                        return
            except Exception as error:  # whatever a library raises must not fail a command
                failed.append(str(error) or type(error).__name__)

        if not within(seconds + _REST, export):
            return f"no answer within {seconds + _REST:g} s"
        return failed[0] if failed else None

    def _fill(self, span: trace.Span, value: SpanValue) -> None:
        span.set_attributes({name: self._masked(each) for name, each in value.attributes.items()})
        for kind, message in value.events:
            described = {"exception.type": kind, "exception.message": self._text(message)}
            span.add_event("exception", described, _nanoseconds(value.finished))
        if value.error is not None:
            span.set_status(trace.StatusCode.ERROR, self._text(value.error))
        around = trace.set_span_in_context(span)
        for each in value.below:
            start = _nanoseconds(each.started)
            self._fill(self._tracer.start_span(self._text(each.name), around, start_time=start), each)
        span.end(_nanoseconds(value.finished))

    def _masked(self, value: Attribute) -> Attribute:
        if isinstance(value, tuple):
            return tuple(map(self._text, value))
        return self._text(value) if isinstance(value, str) else value

    def _text(self, text: str) -> str:
        """Return a text without secrets that UTF-8 can hold: a file name may be any bytes."""
        return self._hide(text).encode("utf-8", "backslashreplace").decode("utf-8")


class _Said(logging.Handler):
    """Keeps the SDK's last warning instead of letting it reach the terminal."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""
        for name in ("opentelemetry", "urllib3"):
            logger = logging.getLogger(name)
            logger.addHandler(self)
            logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()


def _nanoseconds(seconds: float) -> int:
    return int(seconds * _NANO)
