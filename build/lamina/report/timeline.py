"""Draw a run over time, and compare runs in a chart: SVG without scripts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from lamina.execute.step_line import step_line
from lamina.report import figures
from lamina.report.analysis import ExplainedStep, RunReport
from lamina.report.history import Run, StepRecord
from lamina.report.markup import Html, tag
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
_BAR, _GAP, _THIN = 16, 5, 6
_MARK, _MARK_AT = 15, 7
_LEAST = 0.35
"""Percent: the least width of a bar, so that it can be seen."""
_LEAST_AROUND = 0.5
"""Percent: shorter steps around the instructions are left out."""
_WIDE = 7
"""Percent: narrower phases have no room for a label."""
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
_MOST_TICKS = 6
_FLIP = 60
_CHART, _LABELS = 120, 18


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


def timeline(report: RunReport) -> Html | None:
    """Draw a row for each image: instructions as bars, cache hits as marks. None without steps."""
    drawn = window(report)
    if drawn is None:
        return None
    rows = [
        _row(image.name, report.of(image.name), report.around, drawn)
        for image in report.run.images
        if report.of(image.name)
    ]
    return tag(
        "div", _axis(drawn), tag("ol", _phases(report, drawn), *rows, class_="rows"), class_="timeline"
    )


def describe_step(explained: ExplainedStep) -> str:
    """Describe a step in a line, for tooltips and screen readers."""
    step = explained.step
    took = f" {figures.seconds(step.seconds)}" if step.state in {"ran", "failed"} else ""
    why = f" ({explained.why})" if explained.why else ""
    return f"{step.image}, {step.place}: {step_line(step.instruction)} — {WORDS[step.state]}{took}{why}"


def legend() -> Html:
    """Make the legend of bars and marks."""
    kinds = (
        *(("ran", "ran"), ("cached", "from the cache"), ("shared", "done by another image")),
        *(("failed", "failed"), ("around", "loading and exporting")),
    )
    return tag(
        "ul",
        *(
            tag("li", tag("span", GLYPHS.get(kind, "▭"), class_=f"key {kind}", aria_hidden="true"), text)
            for kind, text in kinds
        ),
        class_="legend",
    )


def chart(runs: Iterable[Run], shown: Run) -> Html:
    """Draw the seconds of the runs, the earliest first. The table below it has the same data."""
    known = [run for run in reversed(tuple(runs)) if run.seconds is not None]
    if not known:
        return Html("")
    highest = max(run.seconds or 0.0 for run in known) or 1.0
    width = 100 / max(len(known), 6)
    bars = (
        _column(run, at * width, width, highest, is_shown=run.id == shown.id) for at, run in enumerate(known)
    )
    height = _CHART + 2 * _LABELS
    return tag("svg", *bars, class_="chart", width="100%", height=height, aria_hidden="true")


def _row(image: str, steps: tuple[ExplainedStep, ...], around: tuple[StepRecord, ...], drawn: Window) -> Html:
    bars = sorted(
        (
            explained
            for explained in steps
            if explained.step.state in {"ran", "failed", "stopped"} and _has_time(explained.step)
        ),
        key=lambda explained: explained.step.started or 0.0,
    )
    thin = sorted(
        (step for step in around if step.image == image and drawn.width(step.seconds) >= _LEAST_AROUND),
        key=lambda step: step.started or 0.0,
    )
    marks = sorted(
        (
            explained
            for explained in steps
            if explained.step.state in {"cached", "shared"} and explained.step.started
        ),
        key=lambda explained: explained.step.started or 0.0,
    )
    shapes: list[Html] = []
    top = 2
    for lane, explained in zip(_lanes([each.step for each in bars], drawn), bars, strict=True):
        shapes.append(_bar(explained, top + lane * (_BAR + _GAP), drawn))
    top += _depth([each.step for each in bars], drawn) * (_BAR + _GAP)
    if marks:
        shapes += _marks(marks, top, drawn)
        top += _BAR + _GAP
    for lane, step in zip(_lanes(thin, drawn), thin, strict=True):
        shapes.append(_around(step, top + lane * (_THIN + 3), drawn))
    top += _depth(thin, drawn) * (_THIN + 3)
    return tag(
        "li",
        tag("span", image, class_="name"),
        tag(
            "svg",
            *_grid(drawn),
            *shapes,
            width="100%",
            height=max(top, _BAR),
            role="group",
            aria_label=f"the steps of {image}",
        ),
    )


def _phases(report: RunReport, drawn: Window) -> Html:
    """Draw the phases of the command: plan, build, confirm."""
    steps = [*(explained.step for explained in report.steps), *report.around]
    begin = min(step.started for step in steps if step.started is not None)
    end = max(step.finished for step in steps if step.finished is not None)
    phases = (("plan", drawn.start, begin), ("build", begin, end), ("confirm", end, drawn.end))
    shapes = (
        _phase(f"{name} {figures.seconds(stop - start)}", drawn.at(start), drawn.width(stop - start))
        for name, start, stop in phases
    )
    return tag(
        "li",
        tag("span", "the command", class_="phases"),
        tag(
            "svg",
            *_grid(drawn),
            *shapes,
            width="100%",
            height=_BAR + 2,
            role="group",
            aria_label="the command",
        ),
    )


def _phase(label: str, left: float, wide: float) -> Html | None:
    if wide < _LEAST:
        return None
    return tag(
        "g",
        tag("title", label),
        tag("line", x1=f"{left:.3f}%", x2=f"{left + wide:.3f}%", y1=_BAR, y2=_BAR),
        tag("line", x1=f"{left:.3f}%", x2=f"{left:.3f}%", y1=_BAR - 5, y2=_BAR),
        tag("text", label, x=f"{left:.3f}%", y=_BAR - 5, dx=4) if wide >= _WIDE else None,
        class_="phase",
        role="img",
        aria_label=label,
    )


def _bar(explained: ExplainedStep, top: float, drawn: Window) -> Html:
    step = explained.step
    left, wide = _span(step, drawn)
    failed = step.state == "failed"
    return _focusable(
        describe_step(explained),
        step.state,
        tag("rect", x=f"{left:.3f}%", y=top, width=f"{wide:.3f}%", height=_BAR, rx=3),
        tag("text", GLYPHS["failed"], x=f"{left:.3f}%", y=top + _BAR - 4, dx=3, aria_hidden="true")
        if failed
        else None,
    )


def _around(step: StepRecord, top: float, drawn: Window) -> Html:
    left, wide = _span(step, drawn)
    return _focusable(
        f"{step.image}: {step_line(step.name)} — {figures.seconds(step.seconds)}",
        "around",
        tag("rect", x=f"{left:.3f}%", y=top, width=f"{wide:.3f}%", height=_THIN, rx=2),
        reachable=False,
    )


def _marks(marks: list[ExplainedStep], top: float, drawn: Window) -> Iterator[Html]:
    """Yield a ring for each step that took no time; rings of one moment are side by side."""
    for moment_, group in groupby(
        marks, key=lambda explained: round(drawn.at(explained.step.started or 0.0))
    ):
        together = list(group)
        left = drawn.at(together[0].step.started or 0.0)
        towards = -1 if moment_ > _FLIP else 1
        for at, explained in enumerate(together):
            place = towards * (_MARK_AT + at * _MARK)
            yield tag(
                "svg",
                _focusable(
                    describe_step(explained),
                    explained.step.state,
                    tag("circle", cx=place, cy=top + _BAR / 2, r=5),
                ),
                x=f"{left:.3f}%",
                overflow="visible",
            )


def _focusable(label: str, state: str, *shapes: Html | None, reachable: bool = True) -> Html:
    return tag(
        "g",
        tag("title", label),
        *shapes,
        class_=f"step {state}",
        role="img",
        aria_label=label,
        tabindex=0 if reachable else None,
    )


def _grid(drawn: Window) -> Iterator[Html]:
    for tick in _ticks(drawn):
        at = f"{drawn.at(drawn.start + tick):.3f}%"
        yield tag("line", x1=at, x2=at, y1=0, y2="100%", class_="tick")


def _axis(drawn: Window) -> Html:
    labels = (
        tag(
            "text",
            f"{tick:g} s",
            x=f"{drawn.at(drawn.start + tick):.3f}%",
            y=12,
            text_anchor="start" if not tick else "middle",
        )
        for tick in _ticks(drawn)
    )
    return tag("svg", *labels, class_="axis", width="100%", height=16, aria_hidden="true")


def _ticks(drawn: Window) -> Iterator[float]:
    """Yield round numbers of seconds: not too many, none at the very end."""
    length = drawn.end - drawn.start
    apart = next((each for each in _TICKS if length / each <= _MOST_TICKS), length)
    tick = 0.0
    while tick <= length * 0.97:
        yield round(tick, 3)
        tick += apart


def _column(run: Run, left: float, width: float, highest: float, *, is_shown: bool) -> Html:
    took = run.seconds or 0.0
    height = max(2.0, _CHART * took / highest)
    top = _LABELS + _CHART - height
    middle = f"{left + width / 2:.3f}%"
    built = run.count("built")
    kind = "failed" if not run.ok else "ran" if built else "cached"
    return tag(
        "g",
        tag("title", f"{run.id}: {built} built in {wall(run)}"),
        tag("rect", x=f"{left + width * 0.15:.3f}%", y=top, width=f"{width * 0.7:.3f}%", height=height, rx=2),
        tag("text", figures.seconds(took), x=middle, y=top - 5, text_anchor="middle"),
        tag("text", moment(run.started)[11:16], x=middle, y=_LABELS + _CHART + 14, text_anchor="middle"),
        class_=f"step {kind}{' shown' if is_shown else ''}",
    )


def _span(step: StepRecord, drawn: Window) -> tuple[float, float]:
    """Return the left edge and the width of a step, in percent."""
    left = drawn.at(step.started or drawn.start)
    wide = max(_LEAST, drawn.at(step.finished or drawn.end) - left)
    return min(left, 100 - _LEAST), wide


def _has_time(step: StepRecord) -> bool:
    return step.started is not None


def _lanes(steps: list[StepRecord], drawn: Window) -> list[int]:
    """Return the first free lane for each step. steps: in the order of their start."""
    ends: list[float] = []
    lanes = []
    for step in steps:
        left, wide = _span(step, drawn)
        lane = next((at for at, end in enumerate(ends) if end <= left), len(ends))
        ends[lane : lane + 1] = [left + wide]
        lanes.append(lane)
    return lanes


def _depth(steps: list[StepRecord], drawn: Window) -> int:
    return max(_lanes(steps, drawn), default=-1) + 1


def patterns() -> Html:
    """Make the patterns that distinguish states without colour, for all drawings of a page."""
    hatch = tag(
        "pattern",
        tag("path", d="M-1,1 l2,-2 M0,6 l6,-6 M5,7 l2,-2", class_="hatch"),
        id="hatch",
        width=6,
        height=6,
        patternUnits="userSpaceOnUse",
    )
    return tag("svg", tag("defs", hatch), width=0, height=0, aria_hidden="true", class_="patterns")
