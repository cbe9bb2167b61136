"""From recorded events and results to spans."""

from __future__ import annotations

from pathlib import Path

from lamina.execute.outcome import Outcome
from lamina.flow.build import build_images
from lamina.report.history import StepRecord
from lamina.telemetry.command_run import CommandRun
from lamina.telemetry.spans import SpanValue, command_span
from memory import Shop

from ..report.runs import COLD, A, B, put_pair, read

D, E = "base-receipt-dynamo", "lambda-embedding"


def command(*runs: tuple[str, Outcome], code: int = 0, errors: tuple[str, ...] = ()) -> CommandRun:
    return CommandRun(command="build-all", code=code, started=1.0, finished=9e9, runs=runs, errors=errors)


def by_name(span: SpanValue) -> dict[str, SpanValue]:
    return {each.name: each for each in span.below}


def test_every_step_that_began_has_a_span_with_its_own_times(tmp_path: Path) -> None:
    put_pair(tmp_path, "fail")
    _, steps = read(tmp_path, COLD)

    images = by_name(command_span(command((COLD, Outcome(results={})), code=1), {COLD: steps}, {}))

    assert set(images) == {A, B}
    begun = {step.name: step for step in steps if step.image == A and step.started is not None}
    spans = by_name(images[A])
    assert spans.keys() == begun.keys()
    for name, step in begun.items():
        assert (spans[name].started, spans[name].finished) == (step.started, step.finished)
        assert spans[name].attributes["lamina.step.cached"] is (step.state == "cached")
    assert {each.attributes["lamina.step.cached"] for each in spans.values()} == {True, False}
    assert images[A].started == min(each.started for each in spans.values())
    assert images[A].finished == max(each.finished for each in spans.values())
    failed = [each.name for each in images[B].below if each.error]
    assert len(failed) == 1
    assert failed[0].startswith("[2/3] ")


def test_a_step_that_was_stopped_ends_with_the_command() -> None:
    step = StepRecord(
        image=A, name="[1/1] RUN x", is_instruction=True, state="stopped", digest="d", started=5.0
    )

    (image,) = command_span(command((COLD, Outcome(results={}))), {COLD: [step]}, {}).below

    (span,) = image.below
    assert (span.started, span.finished, span.error) == (5.0, 9e9, None)


def test_a_shared_step_belongs_to_the_image_that_ran_it() -> None:
    one = StepRecord(image=A, name="[1/1] RUN x", is_instruction=True, state="ran", digest="d", started=5.0)
    other = StepRecord(
        image=B, name="[1/1] RUN x", is_instruction=True, state="shared", digest="d", started=5.0, by=A
    )

    images = by_name(command_span(command((COLD, Outcome(results={}))), {COLD: [one, other]}, {}))

    assert [len(images[name].below) for name in (A, B)] == [1, 0]


def test_an_image_says_what_became_of_it(shop: Shop) -> None:
    shop.programs.failing = {E}
    runs: list[tuple[str, Outcome]] = []
    session = shop.open(push=True, keep_going=True, observe=lambda run, outcome: runs.append((run, outcome)))
    build_images(session, "build-all")

    span = command_span(command(*runs, code=1, errors=("it failed",)), {}, {"lamina.stack": "dev"})

    images, (name, outcome) = by_name(span), runs[0]
    base, failed = images[D].attributes, images[E]
    assert base["container.image.name"] == f"r.example/{D}-dev"
    assert base["container.image.tags"] == (outcome.results[D].image.tag,)
    assert base["container.image.repo_digests"] == (f"r.example/{D}-dev@{outcome.results[D].digest}",)
    assert base["cicd.pipeline.task.run.id"] == f"{name}/{D}"
    assert base["cicd.pipeline.task.run.result"] == "success"
    assert (failed.attributes["cicd.pipeline.task.run.result"], failed.attributes["error.type"]) == (
        "failure",
        "BuildError",
    )
    assert failed.error
    assert span.attributes["cicd.pipeline.run.id"] == name
    assert span.attributes["lamina.stack"] == "dev"
    assert (span.attributes["cicd.pipeline.result"], span.error) == ("failure", "it failed")
    assert span.events == (("BuildError", "it failed"),)


def test_exit_codes_say_whether_a_command_failed() -> None:
    def told(code: int) -> tuple[object, object, bool]:
        span = command_span(command(code=code), {}, {})
        found = span.attributes
        return found["cicd.pipeline.result"], found.get("error.type"), span.error is not None

    assert told(0) == told(7) == ("success", None, False)
    assert told(2) == ("failure", "ConfigError", True)
    assert told(6) == ("failure", "_OTHER", True)
    assert told(130) == told(143) == ("cancellation", "Interrupted", True)
