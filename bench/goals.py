"""The goals for the figures. Most are ratios of one run, because times depend on the machine. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.rows import BenchReport
from bench.watching import WATCH
from lamina.report.figures import size

_FEWER = 0.999
_LIMITS = {
    "real-plan": ("the first plan", 1.0),
    "real-plan-again": ("the second plan", 0.35),
    "real-init": ("init", 3.0),
    "real-unchanged": ("all images in the registry, nothing changed", 0.5),
}
"""Case -> what it is, and seconds."""
_MEMORY = 150_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A goal. wanted, found: in words. met: None if the figures for it are missing."""

    what: str
    wanted: str
    found: str
    met: bool | None


def goals(report: BenchReport) -> tuple[Goal, ...]:
    """Return every goal, judged by a report."""
    return tuple(_goals(report))


def _goals(report: BenchReport) -> Iterator[Goal]:
    yield _faster(report, "a handler edited, empty runner", "handler-empty", "before", 50)
    yield _fewer_bytes(report, "a handler edited, empty runner", "handler-empty", "before")
    yield _faster(report, "base code edited, empty runner", "base-code-empty", "before", 50)
    yield _judge(
        "a handler edited, no Docker",
        "at most 0.35 s",
        _seconds(report, "append-no-engine", "lamina"),
        lambda seconds: seconds <= 0.35,
        lambda seconds: f"{seconds:.2f} s",
    )
    yield _faster(report, "cold", "cold", "before", 3)
    yield _faster(report, "100 images, unchanged", "scale-100", "bake", 25)
    one, two = (_seconds(report, case, "lamina") for case in ("one-builder", "two-builders"))
    yield _judge(
        "a second builder, for images that wait",
        "at least 1.5 times faster",
        None if one is None or two is None else one / two,
        lambda ratio: ratio >= 1.5,
        lambda ratio: f"{ratio:.2f} times",
    )
    yield _judge(
        "one of 100 images edited",
        "at most 2 s",
        _seconds(report, "scale-100-edit", "lamina"),
        lambda seconds: seconds <= 2,
        lambda seconds: f"{seconds:.2f} s",
    )
    yield from _real(report)
    ours, theirs = (_seconds(report, "handler", variant) for variant in ("lamina", "bake"))
    yield _judge(
        "a handler edited, warm",
        "bake of that one target + 0.5 s at most",
        None if ours is None or theirs is None else ours - theirs,
        lambda more: more <= 0.5,
        lambda more: f"{more:+.2f} s",
    )
    yield _judge(
        "a handler saved under `lamina watch --smoke`",
        "its answer after at most 0.5 s",
        _seconds(report, WATCH, "lamina"),
        lambda seconds: seconds <= 0.5,
        lambda seconds: f"{seconds:.2f} s",
    )
    ours, theirs = (_seconds(report, "cold", variant) for variant in ("lamina", "bake"))
    yield _judge(
        "cold, beside bake of the same Dockerfiles",
        "at most 1.1 times its time",
        None if ours is None or theirs is None else ours / theirs,
        lambda ratio: ratio <= 1.1,
        lambda ratio: f"{ratio:.2f} times",
    )


def _real(report: BenchReport) -> Iterator[Goal]:
    """Yield the goals for a repository of real size."""
    for case, (what, limit) in _LIMITS.items():
        yield _judge(
            f"a monorepo of real size: {what}",
            f"at most {limit:g} s",
            _seconds(report, case, "lamina"),
            lambda seconds, limit=limit: seconds <= limit,  # type: ignore[misc]
            lambda seconds: f"{seconds:.2f} s",
        )
    rows = (report.find(case, "lamina") for case in _LIMITS)
    peaks = [row.memory for row in rows if row and row.memory]
    yield _judge(
        "a monorepo of real size: memory",
        f"at most {size(_MEMORY)}",
        max(peaks, default=None),
        lambda peak: peak <= _MEMORY,
        lambda peak: size(int(peak)),
    )


def _faster(report: BenchReport, what: str, case: str, than: str, times: float) -> Goal:
    ours, theirs = _seconds(report, case, "lamina"), _seconds(report, case, than)
    return _judge(
        what,
        f"at least {times:g} times faster than *{than}*",
        None if ours is None or theirs is None else theirs / ours,
        lambda ratio: ratio >= times,
        lambda ratio: f"{ratio:.1f} times",
    )


def _fewer_bytes(report: BenchReport, what: str, case: str, than: str) -> Goal:
    rows = [report.find(case, variant) for variant in ("lamina", than)]
    ours, theirs = (row.bytes_moved if row else None for row in rows)
    return _judge(
        what,
        f"at least {_FEWER:.1%} fewer bytes than *{than}*",
        1 - ours / theirs if ours is not None and theirs else None,
        lambda share: share >= _FEWER,
        lambda share: f"{share:.2%} fewer",
    )


def _judge(
    what: str,
    wanted: str,
    value: float | None,
    good: Callable[[float], bool],
    shown: Callable[[float], str],
) -> Goal:
    if value is None:
        return Goal(what=what, wanted=wanted, found="not measured", met=None)
    return Goal(what=what, wanted=wanted, found=shown(value), met=good(value))


def _seconds(report: BenchReport, case: str, variant: str) -> float | None:
    row = report.find(case, variant)
    return row.seconds.median if row and row.seconds else None
