"""Traces of builds in memory, sent by the official SDK to a collector that speaks OTLP over HTTP."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator, Mapping

import pytest
from doubles.collector import Collector, running_collector

from lamina.execute.outcome import Outcome
from lamina.flow.build import build_images
from lamina.report.console import Screen
from lamina.telemetry.command_run import CommandRun
from lamina.telemetry.otel import Recorder
from lamina.telemetry.spans import SpanValue
from lamina.telemetry.tracing import start_trace
from memory import Shop

D, E = "base-receipt-dynamo", "lambda-embedding"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
LONG, SHORT = 60.0, 0.2
"""Seconds for a collector: so many that a slow machine is no reason, and so few that the test is short."""
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with running_collector() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.url)
        yield running


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A port on which nobody listens, as that of the collector."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{held.getsockname()[1]}")
        yield


def build(shop: Shop, env: Mapping[str, str]) -> None:
    """A traced build of all images, as the frame of every command has it."""
    screen = Screen(env={})
    runs: list[tuple[str, Outcome]] = []
    told = {"OTEL_EXPORTER_OTLP_TIMEOUT": str(int(LONG * 1000)), **env}
    trace = start_trace("build-all", screen, env=told, version="1.2.3", started=1000.0)
    session = shop.open(
        push=True,
        keep_going=True,
        screen=screen,
        variables=trace.variables,
        observe=lambda run, outcome: runs.append((run, outcome)),
    )
    outcome = build_images(session, "build-all")
    code = 0 if outcome.ok else 1
    errors = tuple(each.what.partition("\n")[0] for each in outcome.problems)
    trace.end(
        session,
        CommandRun(
            command="build-all", code=code, started=1000.0, finished=1010.0, runs=tuple(runs), errors=errors
        ),
    )


def recorder(hide: Callable[[str], str] = str) -> Recorder:
    return Recorder("plan", env={}, version="1.2.3", started=1.0, hide=hide)


def span(name: str = "lamina plan", *below: SpanValue, **attributes: str) -> SpanValue:
    return SpanValue(name=name, started=1.0, finished=2.0, attributes=attributes, below=below)


def test_a_build_is_a_trace_below_the_parent_in_the_environment(shop: Shop, collector: Collector) -> None:
    shop.programs.failing = {E}
    shop.programs.commit = "c0ffee"

    build(shop, {"TRACEPARENT": TRACEPARENT, "TRACESTATE": "a=1", "GITHUB_REF_NAME": "main"})

    command, image = collector.named("lamina build-all"), collector.named(D)
    assert {each.trace for each in collector.spans} == {TRACE}
    assert (command.parent, image.parent) == (PARENT, command.id)
    assert (command.started, command.finished) == (1000_000_000_000, 1010_000_000_000)
    assert command.service == "lamina"
    assert command.attributes["cicd.pipeline.name"] == "repo"
    assert command.attributes["vcs.ref.head.revision"] == "c0ffee"
    assert command.attributes["process.exit.code"] == 1
    assert command.failed
    assert [each["exception.type"] for each in command.events] == ["BuildError"]
    failed = collector.named(E)
    assert (failed.failed, image.failed) == (True, False)
    (step,) = collector.below(failed)
    assert (step.attributes["lamina.step.instruction"], step.failed) == ("RUN false", True)


def test_buildx_gets_the_command_as_its_parent(shop: Shop, collector: Collector) -> None:
    build(shop, {"TRACEPARENT": TRACEPARENT})

    given = shop.programs.variables
    assert given["TRACEPARENT"] == f"00-{TRACE}-{collector.named('lamina build-all').id}-01"
    assert given["OTEL_EXPORTER_OTLP_PROTOCOL"] == "http/protobuf"
    assert given["OTEL_BSP_EXPORT_TIMEOUT"] == "2000"


def test_what_the_user_set_for_buildx_stays(shop: Shop, collector: Collector) -> None:
    own = {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_BSP_EXPORT_TIMEOUT": "9000"}

    build(shop, own)

    assert {name for name in shop.programs.variables if name.startswith("OTEL_")} == set()


def test_a_service_has_the_name_that_the_user_gave(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "images")
    found = recorder()
    found.end(span())

    assert found.send(LONG) is None
    assert collector.named("lamina plan").service == "images"


def test_a_parent_that_is_not_sampled_gets_no_children(shop: Shop, collector: Collector) -> None:
    build(shop, {"TRACEPARENT": f"00-{TRACE}-{PARENT}-00"})

    assert collector.spans == []


def test_more_spans_than_a_batch_all_arrive(collector: Collector) -> None:
    found = recorder()
    found.end(span("lamina plan", *(span(f"image {number}") for number in range(1200))))

    assert found.send(LONG) is None
    assert len(collector.spans) == 1201


def test_secrets_and_odd_bytes_are_not_sent(collector: Collector) -> None:
    found = recorder(hide=lambda text: text.replace("hunter2", "***"))
    found.end(span("lamina plan", span("RUN hunter2"), file="hunter2/caf\udce9.py"))

    assert found.send(LONG) is None
    assert collector.named("RUN ***").parent == collector.named("lamina plan").id
    assert collector.named("lamina plan").attributes["file"] == "***/caf\\udce9.py"


@pytest.mark.parametrize("status", [400, None], ids=["refuses", "is silent"])
def test_a_collector_that_takes_nothing_is_a_reason(collector: Collector, status: int | None) -> None:
    collector.status = status
    found = recorder()
    found.end(span())

    assert found.send(SHORT)
    assert collector.spans == []


@pytest.mark.usefixtures("nowhere")
def test_a_collector_that_is_not_there_is_one_note(shop: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    build(shop, {"OTEL_EXPORTER_OTLP_TIMEOUT": str(int(SHORT * 1000))})

    out, err = capfd.readouterr()
    assert out.count("note: the trace was not sent: ") == 1
    assert err == ""


def test_without_the_extra_there_is_one_note(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.delitem(sys.modules, "lamina.telemetry.otel")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    build(shop, {})

    notes = [line for line in capsys.readouterr().out.splitlines() if "OpenTelemetry" in line]
    assert notes == ["note: OTEL_* variables ask for traces, but OpenTelemetry's SDK is not installed"]
    assert shop.programs.variables["OTEL_BSP_EXPORT_TIMEOUT"] == "2000"
    assert "TRACEPARENT" not in shop.programs.variables


def test_a_watch_records_nothing_and_bounds_how_long_buildx_waits() -> None:
    trace = start_trace("watch", Screen(env={}), env={}, version="1.2.3", started=1.0)

    assert not trace.records
    assert trace.variables["OTEL_BSP_EXPORT_TIMEOUT"] == "2000"


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "$OTEL_TRACES_EXPORTER: no trace: 'zipkin' is not an exporter"),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "$OTEL_EXPORTER_OTLP_PROTOCOL: no trace of Lamina's own: it does not speak grpc",
        ),
    ],
)
def test_what_lamina_cannot_do_is_a_note(shop: Shop, capsys: Capture, env: dict[str, str], says: str) -> None:
    build(shop, env)

    assert f"note: {says}" in capsys.readouterr().out


def test_a_sampler_that_the_sdk_does_not_know_fails_nothing(
    collector: Collector, shop: Shop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "odd")
    monkeypatch.setenv("OTEL_ATTRIBUTE_COUNT_LIMIT", "many")

    build(shop, {})

    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "user:topsecret@collector.example:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "grpc://collector.example:4317/?api-key=topsecret"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20topsecret%0A%20x"),
    ],
)
def test_what_is_wrong_with_the_variables_is_said_without_their_secrets(
    shop: Shop, nowhere: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    name: str, value: str,
) -> None:  # fmt: skip
    monkeypatch.setenv(name, value)

    build(shop, {name: value})

    text = "".join(capfd.readouterr())
    assert "note: the trace was not sent: " in text
    assert "***" in text
    assert "topsecret" not in text
