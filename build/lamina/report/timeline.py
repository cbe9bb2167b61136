"""Place the steps of a run on a timeline, and runs in a chart: positions for the page to draw. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from lamina.execute.step_line import step_line
from lamina.report import figures
from lamina.report.analysis import ExplainedStep, RunReport
from lamina.report.history import Run, StepRecord
from lamina.report.summary import moment, wall

GLYPHS = {"ran": "●", "cached": "○", "shared": "◐", "failed": "✕", "stopped": "■", "waiting": "·"}
"""A sign for each state, readable without colour."""
WORDS = {
    "ran": "ran",
    "cached": "from the cache",
    "shared": "done by another image",
    "failed": "failed",
    "stopped": "stopped",
    "waiting": "not reached",
}
BAR, THIN = 16, 6
"""Pixels: the heights of a bar, and of the bar of a step around the instructions."""
CHART, LABELS = 120, 18
"""Pixels: the heights of the chart's highest column, and of the labels above and below."""
_GAP, _THIN_GAP = 5, 3
_MARK, _MARK_AT = 15, 7
_LEAST = 0.35
"""Percent: the least width of a bar, so that it can be seen."""
_LEAST_AROUND = 0.5
"""Percent: shorter steps around the instructions are left out."""
_WIDE = 7
"""Percent: narrower phases have no space for a label."""
ROOMY = 25
"""Percent: narrower phases have no space for a label on a narrow screen."""
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
_MOST_TICKS = 6
_FLIP = 60
_MOST_LABELS = 12
"""Columns of a chart that have space for a label; of more columns only some get one, the last one always."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineBar:
    """A step that took time.

    Attributes:
        left, width: percent.
        top: pixels below the row's upper edge.
    """

    label: str
    state: str
    left: float
    width: float
    top: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineMark:
    """A step that took no time.

    Attributes:
        left: percent.
        shift: pixels to its right.
        top: as of a bar.
    """

    label: str
    state: str
    left: float
    shift: int
    top: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineRow:
    """The steps of an image: instructions as bars, cache hits as marks, other steps thin. height: pixels."""

    image: str
    bars: tuple[TimelineBar, ...]
    marks: tuple[TimelineMark, ...]
    around: tuple[TimelineBar, ...]
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelinePhase:
    """A phase of the command: plan, build, confirm. wide: whether it has space for its label."""

    label: str
    left: float
    width: float
    wide: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineTick:
    """A number of seconds on the axis. left: percent."""

    label: str
    left: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A run over time, with a row for each image that has steps."""

    ticks: tuple[TimelineTick, ...]
    phases: tuple[TimelinePhase, ...]
    rows: tuple[TimelineRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartColumn:
    """A run in the chart.

    Attributes:
        left, width, middle: percent.
        top, height: pixels.
    """

    label: str
    seconds: str
    time: str
    kind: str
    left: float
    width: float
    middle: float
    top: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The drawn span of time, in seconds since the epoch."""

    start: float
    end: float

    def at(self, moment: float) -> float:
        """Return the position of a moment, in percent."""
        return self.width(moment - self.start)

    def width(self, seconds: float) -> float:
        """Return the width of a number of seconds, in percent."""
        return 100 * seconds / (self.end - self.start)


def window(report: RunReport) -> Window | None:
    """Return the window of a run; of its steps, if the builder's clock differs. None if no step ended."""
    steps = [*(explained.step for explained in report.steps), *report.around]
    starts = [step.started for step in steps if step.started is not None]
    ends = [step.finished for step in steps if step.finished is not None]
    if not ends:
        return None
    start, end = min(starts), max(ends)
    run = report.run
    if run.seconds is not None and run.started <= start and end <= run.started + run.seconds + 1:
        return Window(start=run.started, end=max(end, run.started + run.seconds))
    return Window(start=start, end=max(end, start + 0.001))


def timeline(report: RunReport) -> Timeline | None:
    """Return the timeline of a run; None if no step ended."""
    span = window(report)
    if span is None:
        return None
    return Timeline(
        ticks=tuple(_ticks(span)),
        phases=tuple(_phases(report, span)),
        rows=tuple(
            _row(image.name, report.of(image.name), report.around, span)
            for image in report.run.images
            if report.of(image.name)
        ),
    )


def describe_step(explained: ExplainedStep) -> str:
    """Describe a step in a line, for tooltips and screen readers."""
    step = explained.step
    took = f" {figures.seconds(step.seconds)}" if step.state in {"ran", "failed"} else ""
    why = f" ({explained.why})" if explained.why else ""
    return f"{step.image}, {step.place}: {step_line(step.instruction)} — {WORDS[step.state]}{took}{why}"


def chart(runs: Iterable[Run], shown: Run) -> tuple[ChartColumn, ...]:
    """Return a column for the seconds of each run, the earliest first."""
    known = [run for run in reversed(tuple(runs)) if run.seconds is not None]
    highest = max((run.seconds or 0.0 for run in known), default=0.0) or 1.0
    width = 100 / max(len(known), 6)
    apart = -(-len(known) // _MOST_LABELS)
    columns = []
    for at, run in enumerate(known):
        column = _column(run, at * width, width, highest, is_shown=run.id == shown.id)
        has_label = (len(known) - 1 - at) % max(apart, 1) == 0
        columns.append(column if has_label else replace(column, seconds="", time=""))
    return tuple(columns)


def _row(
    image: str, steps: tuple[ExplainedStep, ...], around: tuple[StepRecord, ...], span: Window
) -> TimelineRow:
    timed = sorted(
        (each for each in steps if each.step.started is not None), key=lambda each: _start(each.step)
    )
    bars = [each for each in timed if each.step.state in {"ran", "failed", "stopped"}]
    marks = [each for each in timed if each.step.state in {"cached", "shared"} and each.step.started]
    thin = sorted(
        (step for step in around if step.image == image and span.width(step.seconds) >= _LEAST_AROUND),
        key=_start,
    )
    lanes, thin_lanes = _lanes([each.step for each in bars], span), _lanes(thin, span)
    marks_top = 2 + _depth(lanes) * (BAR + _GAP)
    thin_top = marks_top + (BAR + _GAP if marks else 0)
    return TimelineRow(
        image=image,
        bars=tuple(
            _bar(each.step, describe_step(each), each.step.state, 2 + lane * (BAR + _GAP), span)
            for lane, each in zip(lanes, bars, strict=True)
        ),
        marks=tuple(_marks(marks, marks_top, span)),
        around=tuple(
            _bar(
                step,
                f"{step.image}: {step_line(step.name)} — {figures.seconds(step.seconds)}",
                "around",
                thin_top + lane * (THIN + _THIN_GAP),
                span,
            )
            for lane, step in zip(thin_lanes, thin, strict=True)
        ),
        height=max(thin_top + _depth(thin_lanes) * (THIN + _THIN_GAP), BAR),
    )


def _phases(report: RunReport, span: Window) -> Iterator[TimelinePhase]:
    """Yield the phases of the command that are long enough to be seen."""
    steps = [*(explained.step for explained in report.steps), *report.around]
    begin = min(step.started for step in steps if step.started is not None)
    end = max(step.finished for step in steps if step.finished is not None)
    for name, start, stop in (("plan", span.start, begin), ("build", begin, end), ("confirm", end, span.end)):
        width = span.width(stop - start)
        if width >= _LEAST:
            label = f"{name} {figures.seconds(stop - start)}"
            yield TimelinePhase(label=label, left=span.at(start), width=width, wide=width >= _WIDE)


def _bar(step: StepRecord, label: str, state: str, top: int, span: Window) -> TimelineBar:
    left, width = _span(step, span)
    return TimelineBar(label=label, state=state, left=left, width=width, top=top)


def _marks(marks: list[ExplainedStep], top: int, span: Window) -> Iterator[TimelineMark]:
    """Yield the marks; those of one moment are side by side."""
    for moment_, group in groupby(marks, key=lambda each: round(span.at(_start(each.step)))):
        together = list(group)
        towards = -1 if moment_ > _FLIP else 1
        for at, explained in enumerate(together):
            yield TimelineMark(
                label=describe_step(explained),
                state=explained.step.state,
                left=span.at(_start(together[0].step)),
                shift=towards * (_MARK_AT + at * _MARK),
                top=top,
            )


def _ticks(span: Window) -> Iterator[TimelineTick]:
    """Yield round numbers of seconds: not too many, none at the very end."""
    length = span.end - span.start
    apart = next((each for each in _TICKS if length / each <= _MOST_TICKS), length)
    tick = 0.0
    while tick <= length * 0.97:
        rounded = round(tick, 3)
        yield TimelineTick(label=f"{rounded:g} s", left=span.at(span.start + rounded))
        tick += apart


def _column(run: Run, left: float, width: float, highest: float, *, is_shown: bool) -> ChartColumn:
    took = run.seconds or 0.0
    height = max(2.0, CHART * took / highest)
    built = run.count("built")
    kind = "failed" if not run.ok else "ran" if built else "cached"
    return ChartColumn(
        label=f"{run.id}: {built} built in {wall(run)}",
        seconds=figures.seconds(took),
        time=moment(run.started)[11:16],
        kind=f"{kind}{' shown' if is_shown else ''}",
        left=left + width * 0.15,
        width=width * 0.7,
        middle=left + width / 2,
        top=LABELS + CHART - height,
        height=height,
    )


def _span(step: StepRecord, span: Window) -> tuple[float, float]:
    """Return the left edge and the width of a step, in percent."""
    left = span.at(step.started or span.start)
    width = max(_LEAST, span.at(step.finished or span.end) - left)
    return min(left, 100 - _LEAST), width


def _start(step: StepRecord) -> float:
    return step.started or 0.0


def _lanes(steps: list[StepRecord], span: Window) -> list[int]:
    """Return the first free lane for each step. steps: in the order of their start."""
    ends: list[float] = []
    lanes = []
    for step in steps:
        left, width = _span(step, span)
        lane = next((at for at, end in enumerate(ends) if end <= left), len(ends))
        ends[lane : lane + 1] = [left + width]
        lanes.append(lane)
    return lanes


def _depth(lanes: list[int]) -> int:
    return max(lanes, default=-1) + 1
