"""The spans of a command: one for itself, each image, function and step of BuildKit. Pure.

Names of attributes are OpenTelemetry's where it has one: ``cicd.*``, ``container.image.*``, ``process.*``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field

from lamina.execute.outcome import Outcome, Result, Status
from lamina.execute.task_run import TaskKind, TaskRun
from lamina.report.history import StepRecord
from lamina.telemetry.command_run import CommandRun
from lamina.values import dataclass

Attribute = str | bool | int | float | tuple[str, ...]
_RESULTS: Mapping[Status, str] = {
    "built": "success",
    "retagged": "success",
    "pushed": "success",
    "started": "success",
    "skipped": "skip",
    "failed": "failure",
    "cancelled": "cancellation",
}
_TYPES: Mapping[TaskKind, str] = {"push": "push", "deploy": "deploy", "smoke": "test"}
_TASK_RESULTS = {
    "skipped": "skip",
    "failed": "failure",
    "returned": "failure",
    "stopped": "cancellation",
    "begun": "cancellation",
}
"""Status of a task -> its result; any other is a success."""
_LONGEST_NAME, _LONGEST_TEXT = 120, 2000
"""Characters. An instruction may hold a whole script."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanValue:
    """A span and those below it.

    Attributes:
        started, finished: seconds since the epoch.
        error: why it failed; None if it did not.
        events: the errors that happened in it: kind and message.
    """

    name: str
    started: float
    finished: float
    attributes: Mapping[str, Attribute]
    error: str | None = None
    events: tuple[tuple[str, str], ...] = ()
    below: tuple[SpanValue, ...] = field(default=())


def command_span(
    run: CommandRun,
    steps: Mapping[str, Iterable[StepRecord]],
    project: Mapping[str, Attribute],
) -> SpanValue:
    """Return the span of a command with those of its images and their steps.

    Args:
        steps: the steps of each run, by its name.
        project: further attributes of the command.
    """
    kind = run.error_type
    attributes: dict[str, Attribute] = {
        **project,
        "lamina.command": run.command,
        "process.exit.code": run.code,
        "cicd.pipeline.result": _result(run),
    }
    if run.runs:
        attributes |= {"cicd.pipeline.action.name": "BUILD", "cicd.pipeline.run.id": run.runs[-1][0]}
    if kind:
        attributes["error.type"] = kind
    return SpanValue(
        name=f"lamina {run.command}",
        started=run.started,
        finished=run.finished,
        attributes=attributes,
        error="; ".join(run.errors[:1]) or kind if kind else None,
        events=tuple((kind, text) for text in run.errors) if kind else (),
        below=(
            *(
                span
                for name, outcome in run.runs
                for span in _image_spans(name, outcome, tuple(steps.get(name, ())), run)
            ),
            *map(_task_span, run.tasks),
        ),
    )


def _result(run: CommandRun) -> str:
    if run.stopped:
        return "cancellation"
    return "failure" if run.error_type else "success"


def _image_spans(
    run: str, outcome: Outcome, steps: tuple[StepRecord, ...], command: CommandRun
) -> Iterator[SpanValue]:
    """Yield the span of each image. One of which nothing ran has no length and is where the command ended."""
    others = {step.image for step in steps} - outcome.results.keys()
    for name in (*outcome.results, *sorted(others)):
        result = outcome.results.get(name)
        below = tuple(_step_spans(steps, name, command.finished))
        times = [time for span in below for time in (span.started, span.finished)]
        times += [time for span in (result.spans if result else ()) for time in span]
        failed = result is not None and result.status == "failed"
        yield SpanValue(
            name=name,
            started=min(times, default=command.finished),
            finished=max(times, default=command.finished),
            attributes={
                "cicd.pipeline.task.name": name,
                "cicd.pipeline.task.type": "build",
                "cicd.pipeline.task.run.id": f"{run}/{name}",
                **(_image_attributes(result) if result else {}),
                **({"error.type": outcome.kind.__name__} if failed else {}),
            },
            error=_cut("; ".join(result.reasons) or "failed") if failed and result else None,
            below=below,
        )


def _image_attributes(result: Result) -> dict[str, Attribute]:
    image = result.image
    found: dict[str, Attribute] = {
        "cicd.pipeline.task.run.result": _RESULTS[result.status],
        "container.image.name": str(image.repository),
        "container.image.tags": (image.tag,),
        "lamina.image.status": result.status,
        "lamina.image.kind": image.node.kind,
        "lamina.image.platform": image.node.spec.platform,
        "lamina.image.reasons": tuple(map(_cut, result.reasons)),
        "lamina.image.steps": result.total,
        "lamina.image.steps.cached": result.cached,
        "lamina.image.appended": result.appended is not None,
    }
    if result.digest:
        found["container.image.repo_digests"] = (f"{image.repository}@{result.digest}",)
        found["lamina.image.size"] = result.size
    return found


def _task_span(task: TaskRun) -> SpanValue:
    attributes: dict[str, Attribute] = {
        "cicd.pipeline.task.name": task.name,
        "cicd.pipeline.task.type": _TYPES[task.kind],
        "cicd.pipeline.task.run.result": _TASK_RESULTS.get(task.status, "success"),
        "lamina.image.name": task.image,
        "lamina.task.status": task.status,
    }
    if task.ref:
        attributes["container.image.name"] = task.ref.name
        attributes |= {"container.image.tags": (task.ref.tag,)} if task.ref.tag else {}
        if task.ref.digest:
            attributes["container.image.repo_digests"] = (f"{task.ref.name}@{task.ref.digest}",)
    kind, text = task.error or ("", "")
    return SpanValue(
        name=f"{task.kind} {task.name}",
        started=task.started,
        finished=task.finished,
        attributes={**attributes, **({"error.type": kind} if kind else {})},
        error=_cut(text) if task.error else None,
    )


def _step_spans(steps: Iterable[StepRecord], image: str, ended: float) -> Iterator[SpanValue]:
    """Yield the spans of an image's own steps that began. Shared steps belong to the image that ran them."""
    for step in steps:
        if step.image != image or step.started is None or step.state == "shared":
            continue
        yield SpanValue(
            name=_cut(step.name.partition("\n")[0], _LONGEST_NAME),
            started=step.started,
            finished=max(step.started, ended if step.finished is None else step.finished),
            attributes={
                "lamina.image.name": image,
                "lamina.step.cached": step.state == "cached",
                "lamina.step.state": step.state,
                "lamina.step.instruction": _cut(step.instruction),
                "lamina.step.digest": step.digest,
            },
            error="the step failed" if step.state == "failed" else None,
        )


def _cut(text: str, most: int = _LONGEST_TEXT) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
