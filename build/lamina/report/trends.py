"""Trends of images over runs: size, seconds of a build, init of functions; with columns to draw. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from lamina.report import figures
from lamina.report.history import ImageRun, Run
from lamina.report.inits import MeasuredInit
from lamina.report.summary import moment

SPARK = 24
"""Pixels: the height of the highest column."""
_LEAST = 2.0
_FEWEST_COLUMNS = 12
"""A few columns are as wide as if there were so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkColumn:
    """A value. left, width: percent. top, height: pixels."""

    left: float
    width: float
    top: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """A figure of an image over time.

    Attributes:
        label: of all of it, for screen readers.
        now: the last value, with what it changed by since the first.
        subject: the function, if the figure is of one.
    """

    label: str
    now: str
    columns: tuple[SparkColumn, ...]
    subject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTrends:
    """The trends of an image; None or empty where there are fewer than two values."""

    image: str
    size: Trend | None
    seconds: Trend | None
    inits: tuple[Trend, ...]


def image_trends(
    names: Iterable[str], runs: Sequence[Run], inits: Iterable[MeasuredInit]
) -> tuple[ImageTrends, ...]:
    """Return the trends of the named images that have any. runs: the latest first."""
    measured = tuple(inits)
    return tuple(found for name in names if (found := _trends(name, runs, measured)) is not None)


def _trends(name: str, runs: Sequence[Run], inits: tuple[MeasuredInit, ...]) -> ImageTrends | None:
    results = [
        (run, image) for run in reversed(runs) for image in run.images if image.name == name and image.digest
    ]
    size = _over_runs("size", name, [(run, image, float(image.size)) for run, image in results if image.size])
    built = [(run, image, image.seconds) for run, image in results if image.status == "built"]
    seconds = _over_runs("seconds of a build", name, built)
    starts = tuple(_init_trends(name, inits))
    return (
        ImageTrends(image=name, size=size, seconds=seconds, inits=starts)
        if size or seconds or starts
        else None
    )


def _over_runs(what: str, name: str, values: Sequence[tuple[Run, ImageRun, float]]) -> Trend | None:
    if len(values) < 2:
        return None
    shown = _size if what == "size" else figures.seconds
    since = moment(values[0][0].started)
    return _trend(
        f"{what} of {name} in {len(values)} runs since {since}", [each[-1] for each in values], shown
    )


def _init_trends(name: str, inits: tuple[MeasuredInit, ...]) -> Iterator[Trend]:
    for each in inits:
        if each.image == name and len(each.history) > 1:
            label = f"init of {each.function} in {len(each.history)} smokes"
            yield _trend(label, each.history, _milliseconds, subject=each.function)


def _trend(label: str, values: Sequence[float], shown: Callable[[float], str], *, subject: str = "") -> Trend:
    first, last = values[0], values[-1]
    change = (
        f", {100 * (last - first) / first:+.0f} %" if first and round(100 * (last - first) / first) else ""
    )
    return Trend(
        label=f"{label}: from {shown(first)} to {shown(last)}",
        now=f"{shown(last)}{change}",
        columns=tuple(_columns(values)),
        subject=subject,
    )


def _columns(values: Sequence[float]) -> Iterator[SparkColumn]:
    highest = max(values) or 1.0
    width = 100 / max(len(values), _FEWEST_COLUMNS)
    for at, value in enumerate(values):
        height = max(_LEAST, SPARK * value / highest)
        yield SparkColumn(left=at * width, width=width * 0.75, top=SPARK - height, height=height)


def _size(count: float) -> str:
    return figures.size(int(count))


def _milliseconds(value: float) -> str:
    return f"{value:.0f} ms"
