"""Which of several builders was busy with which images of a run. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lamina.execute.spans import join_spans
from lamina.json_data import JsonDocument
from lamina.report.history import Run, StepRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class BusyBuilder:
    """A builder in a run. seconds: in which any step ran on it. images: in the order in which they began."""

    name: str
    seconds: float
    images: tuple[str, ...]


def busy_builders(run: Run, steps: Iterable[StepRecord]) -> tuple[BusyBuilder, ...]:
    """Return the builders of a run that was spread over several, by name; empty for any other run."""
    by = {image.name: image.builder for image in run.images if image.builder}
    spans: dict[str, list[tuple[float, float]]] = {}
    begun: dict[str, float] = {}
    for step in steps:
        if step.image in by and step.started is not None and step.finished is not None:
            spans.setdefault(by[step.image], []).append((step.started, step.finished))
            begun[step.image] = min(begun.get(step.image, step.started), step.started)
    return tuple(
        BusyBuilder(
            name=name,
            seconds=sum(stop - start for start, stop in join_spans(spans.get(name, ()))),
            images=tuple(
                sorted((image for image in by if by[image] == name), key=lambda each: begun.get(each, 0.0))
            ),
        )
        for name in sorted({*by.values()})
    )


def builder_documents(builders: Iterable[BusyBuilder]) -> list[JsonDocument]:
    """Return the builders for JSON; seconds rounded to milliseconds."""
    return [
        {"name": each.name, "seconds": round(each.seconds, 3), "images": list(each.images)}
        for each in builders
    ]
