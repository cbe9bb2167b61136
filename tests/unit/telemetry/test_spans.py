"""From recorded events and results to spans."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.errors import EngineError
from lamina.execute.outcome import Outcome
from lamina.execute.task_run import TaskKind, TaskRun, skipped, timed
from lamina.flow.build import build_images
from lamina.refs import Reference
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


REF = Reference.parse("r.example/app-dev:sha-1")


def task(kind: TaskKind, status: str, *, error: tuple[str, str] | None = None) -> TaskRun:
    return TaskRun(
        kind=kind, name="one", image="app", status=status, started=2.0, finished=3.0, ref=REF, error=error
    )


def test_pushes_deployments_and_smokes_are_spans_of_their_command() -> None:
    done = (
        task("push", "pushed"),
        task("deploy", "failed", error=("AwsError", "refused")),
        task("smoke", "ok"),
    )
    run = CommandRun(command="deploy", code=8, started=1.0, finished=4.0, tasks=done)

    pushed, deployed, tried = command_span(run, {}, {}).below

    assert (pushed.name, pushed.started, pushed.finished, pushed.error) == ("push one", 2.0, 3.0, None)
    assert pushed.attributes == {
        "cicd.pipeline.task.name": "one",
        "cicd.pipeline.task.type": "push",
        "cicd.pipeline.task.run.result": "success",
        "container.image.name": "r.example/app-dev",
        "container.image.tags": ("sha-1",),
        "lamina.image.name": "app",
        "lamina.task.status": "pushed",
    }
    assert (deployed.name, deployed.error) == ("deploy one", "refused")
    assert deployed.attributes["cicd.pipeline.task.run.result"] == "failure"
    assert deployed.attributes["error.type"] == "AwsError"
    assert (tried.name, tried.attributes["cicd.pipeline.task.type"]) == ("smoke one", "test")


def test_the_result_of_a_task_is_that_of_its_status() -> None:
    def result(status: str) -> object:
        run = CommandRun(command="x", code=0, started=1.0, finished=4.0, tasks=(task("deploy", status),))
        return command_span(run, {}, {}).below[0].attributes["cicd.pipeline.task.run.result"]

    assert {
        each: result(each) for each in ("updated", "pointed", "skipped", "returned", "stopped", "begun")
    } == {
        "updated": "success",
        "pointed": "success",
        "skipped": "skip",
        "returned": "failure",
        "stopped": "cancellation",
        "begun": "cancellation",
    }


def test_a_task_is_reported_however_it_ends() -> None:
    done: list[TaskRun] = []
    with timed(done.append, "push", "app", status="pushed", ref=REF) as notes:
        notes.ref = Reference.parse(f"r.example/app-dev@sha256:{'1' * 64}")
    with pytest.raises(EngineError), timed(done.append, "push", "app", status="pushed", ref=REF):
        raise EngineError.of("it broke\nwith a log")
    with pytest.raises(KeyboardInterrupt), timed(done.append, "smoke", "app", status="ok", ref=REF):
        raise KeyboardInterrupt
    done.append(skipped("push", "app", REF))

    assert [(each.status, each.error) for each in done] == [
        ("pushed", None),
        ("failed", ("EngineError", "it broke")),
        ("stopped", None),
        ("skipped", None),
    ]
    assert all(each.started <= each.finished for each in done)
    run = CommandRun(command="push", code=0, started=1.0, finished=4.0, tasks=tuple(done))
    found = command_span(run, {}, {}).below[0].attributes
    assert found["container.image.repo_digests"] == (f"r.example/app-dev@sha256:{'1' * 64}",)
    assert "container.image.tags" not in found
