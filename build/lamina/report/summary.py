"""Show the report of a run on the terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from lamina.execute.step_line import step_line
from lamina.json_data import JsonDocument
from lamina.report import figures
from lamina.report.builders import builder_documents
from lamina.report.console import saved_line
from lamina.report.document import saved_document, use_document

if TYPE_CHECKING:
    from lamina.execute.outcome import Saved
    from lamina.report.analysis import RunReport
    from lamina.report.calls import KeptCall
    from lamina.report.console import Screen
    from lamina.report.history import Run, StepRecord

RUN_HEADINGS = ("run", "command", "started", "seconds", "built", "skipped", "failed", "cached", "saved")
_SHOWN_REASONS = 3
_WORTH = 0.01


def show(screen: Screen, report: RunReport) -> None:
    """Print a whole report: the images, their steps, the critical path, the slowest steps."""
    run = report.run
    if report.calls and not run.images:
        screen.say(f"run {run.id}, {run.command or 'a build that did not end'}, {moment(run.started)}")
        show_calls(screen, report.calls)
        return
    screen.say(about(run))
    for problem in run.problems:
        screen.say(f"problem: {problem}")
    screen.rows(
        ("image", "action", "why", "cached", "seconds", "size", "saved"),
        (
            (
                image.name,
                image.status,
                "\n".join(reasons_of(image.reasons)),
                "appended" if image.appended else f"{image.cached}/{image.total}" if image.total else "",
                f"{image.seconds:.1f}" if image.status == "built" else "",
                figures.size(image.size or None),
                shown_saved(image.saved),
            )
            for image in run.images
        ),
        wide="why",
    )
    if report.steps:
        screen.say("")
        screen.rows(
            ("image", "step", "instruction", "result", "seconds", "why it ran"),
            (
                (
                    explained.step.image,
                    explained.step.place,
                    step_line(explained.step.instruction),
                    explained.step.state,
                    f"{explained.step.seconds:.2f}" if explained.step.state in {"ran", "failed"} else "",
                    explained.why,
                )
                for explained in report.steps
            ),
            wide="why it ran",
        )
    screen.say("")
    screen.say(totals(report))
    if line := saved_line(run.saved, sum(image.saved is not None for image in run.images), len(run.images)):
        screen.say(line)
    for image in run.images:
        if image.remote_cache and image.remote_cache.off:
            screen.say(f"the remote cache of {image.name} was not written: {image.remote_cache.off}")
    if report.builders:
        screen.say("")
        screen.say(f"the builders in these {wall(run)}:")
        rows = (
            (each.name, figures.seconds(each.seconds), ", ".join(each.images)) for each in report.builders
        )
        screen.rows(("builder", "busy", "images"), rows, wide="images")
    if report.path:
        screen.say("")
        screen.say(f"critical path ({figures.seconds(spent(report.path))} of {wall(run)}):")
        screen.rows(("seconds", "image", "step"), _path_rows(report.path), wide="step")
    if report.slowest:
        screen.say("")
        screen.say(f"the slowest steps of the last {figures.counted(len(report.runs), 'run')}:")
        screen.rows(
            ("longest", "times", "image", "step"),
            (
                (f"{each.longest:.2f}", str(each.times), each.image, step_line(each.instruction))
                for each in report.slowest
            ),
            wide="step",
        )

    if report.inits:
        screen.say("")
        screen.say("init of the functions, in milliseconds, as smoke measured it last:")
        screen.rows(
            ("image", "function", "init", "before", "slowest imports"),
            _init_rows(report),
            wide="slowest imports",
        )
    if report.calls:
        screen.say("")
        screen.say("changes in AWS:")
        show_calls(screen, report.calls)


def show_calls(screen: Screen, calls: Iterable[KeptCall]) -> None:
    """Print the calls that changed something in AWS, in order."""
    screen.rows(
        ("time", "action", "resource", "detail", "result", "account", "region", "request"),
        (
            (
                moment(datetime.fromisoformat(call.time).timestamp()),
                call.action,
                call.resource,
                call.detail,
                call.error or "done",
                call.account or figures.NONE,
                call.region or figures.NONE,
                call.request_id or figures.NONE,
            )
            for call in (each.call for each in calls)
        ),
        wide="detail",
    )


def _init_rows(report: RunReport) -> Iterator[tuple[str, ...]]:
    for each in report.inits:
        slowest = ", ".join(f"{name} {ms:.0f}" for name, ms in each.slowest[:_SHOWN_REASONS])
        before = "" if each.before is None else f"{each.before:.0f}"
        yield (each.image, each.function, f"{each.init:.0f}", before, slowest)


def about(run: Run) -> str:
    """Describe a run in a line."""
    where = f"pushed to {run.registry}" if run.push else "into the engine"
    parts = [
        f"run {run.id}",
        run.command or "a build that did not end",
        moment(run.started),
        *([where] if run.complete else []),
        *([run.platform] if run.platform else []),
        *(["static mode"] if run.static else []),
        *(["interrupted"] if run.interrupted else []),
    ]
    return ", ".join(parts)


def totals(report: RunReport) -> str:
    """Count images and steps in a line."""
    run = report.run
    statuses = dict.fromkeys(("built", "skipped", *(image.status for image in run.images)))
    images = ", ".join(f"{run.count(status)} {status}" for status in statuses)
    steps = (
        f"{report.cached} of {figures.counted(report.asked, 'step')} from the cache "
        f"({figures.share(report.cached, report.asked)})"
    )
    return f"{images} in {wall(run)}; {steps if report.asked else 'no step was asked for'}"


def run_rows(runs: Iterable[Run]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each run, under `RUN_HEADINGS`."""
    for run in runs:
        cached, total = (sum(getattr(image, key) for image in run.images) for key in ("cached", "total"))
        yield (
            run.id,
            ", ".join(
                (
                    run.command or "did not end",
                    *(["interrupted"] if run.interrupted else []),
                    *([f"{figures.counted(run.calls, 'change')} in AWS"] if run.calls else []),
                )
            ),
            moment(run.started),
            "" if run.seconds is None else f"{run.seconds:.1f}",
            *(str(run.count(status) or "") for status in ("built", "skipped", "failed")),
            f"{cached}/{total}" if total else "",
            shown_saved(run.saved),
        )


def shown_saved(saved: Saved | None) -> str:
    """Format savings: ``28 s, 383 MB``; a dash if unknown."""
    if saved is None:
        return figures.NONE
    known = [figures.size(saved.bytes)] if saved.bytes is not None else []
    return ", ".join((figures.seconds(saved.seconds), *known))


def moment(seconds: float) -> str:
    """Format a time in this machine's time zone. seconds: since the epoch."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def wall(run: Run) -> str:
    """Format the duration of a run."""
    return "an unknown time" if run.seconds is None else figures.seconds(run.seconds)


def spent(path: Iterable[StepRecord]) -> float:
    """Return the seconds of a path's steps; overlapping time counts once."""
    total, end = 0.0, 0.0
    for step in path:
        start, stop = step.started or 0.0, step.finished or 0.0
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def reasons_of(reasons: tuple[str, ...]) -> Iterator[str]:
    """Yield the first reasons, and how many more there are."""
    yield from reasons[:_SHOWN_REASONS]
    if len(reasons) > _SHOWN_REASONS:
        yield f"and {len(reasons) - _SHOWN_REASONS} more"


def report_document(report: RunReport) -> JsonDocument:
    """Return a report without its images: the run, its steps, its critical path, slow steps, the last runs.

    Times are in seconds and sizes in bytes; unknown values are None.
    """
    return {
        "run": run_document(report.run),
        "cached": report.cached,
        "asked": report.asked,
        "steps": [
            {
                "image": explained.step.image,
                "step": explained.step.place,
                "instruction": explained.step.instruction,
                "result": explained.step.state,
                "seconds": round(explained.step.seconds, 3),
                "why": explained.why or None,
            }
            for explained in report.steps
        ],
        "critical_path": [
            {"image": step.image, "step": step.name, "seconds": round(step.seconds, 3)}
            for step in report.path
        ],
        "slowest": [
            {
                "image": each.image,
                "instruction": each.instruction,
                "times": each.times,
                "longest": round(each.longest, 3),
                "total": round(each.total, 3),
                "run": each.run,
            }
            for each in report.slowest
        ],
        "inits": [
            {
                "image": each.image,
                "function": each.function,
                "tag": each.tag,
                "init_ms": each.init,
                "before_ms": each.before,
                **each.document,
            }
            for each in report.inits
        ],
        **({"builders": builder_documents(report.builders)} if report.builders else {}),
        **({"calls": [each.document() for each in report.calls]} if report.calls else {}),
        "runs": [run_document(run) for run in report.runs],
        "saved": saved_document(report.run.saved),
    }


def run_document(run: Run) -> JsonDocument:
    """Return a run without its images."""
    statuses = dict.fromkeys(image.status for image in run.images)
    return {
        "id": run.id,
        "command": run.command or None,
        "started": datetime.fromtimestamp(run.started).astimezone().isoformat(timespec="milliseconds"),
        "seconds": run.seconds,
        "complete": run.complete,
        "ok": run.ok,
        "interrupted": run.interrupted,
        "static": run.static,
        "push": run.push,
        "platform": run.platform or None,
        "registry": run.registry or None,
        "counts": {status: run.count(status) for status in statuses},
        "saved": saved_document(run.saved),
        "problems": list(run.problems),
        **({"calls": run.calls} if run.calls else {}),
    }


def image_documents(run: Run) -> list[JsonDocument]:
    """Return the images of a run, as in run.json."""
    return [
        {
            "name": image.name,
            "kind": image.kind,
            "action": image.status,
            "reasons": list(image.reasons),
            "planned": list(image.planned),
            "tag": image.tag,
            "ref": image.ref,
            "digest": image.digest,
            "size": image.size,
            "seconds": image.seconds,
            "cached": image.cached,
            "total": image.total,
            "parents": list(image.parents),
            **({"builder": image.builder} if image.builder else {}),
            "saved": saved_document(image.saved),
            **use_document(image.remote_cache),
        }
        for image in run.images
    ]


def _path_rows(path: Iterable[StepRecord]) -> Iterator[tuple[str, ...]]:
    """Yield rows for the steps of a path that took at least 0.01 s."""
    for step in path:
        if step.seconds >= _WORTH:
            yield (f"{step.seconds:.2f}", step.image, step_line(step.name))
