"""Keep the last cold build of each image in one small file, and measure the savings of runs against it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.execute.outcome import Saved
from lamina.execute.spans import join_spans
from lamina.files import read_json, write_json
from lamina.report.document import SCHEMA
from lamina.report.record import alone
from lamina.values import dataclass

if TYPE_CHECKING:
    from lamina.execute.outcome import Outcome, Result

KEPT = 500
"""Images at most; those with the oldest cold build are dropped."""
_UNTOUCHED = ("skipped", "retagged")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cold:
    """A cold build of an image: none of its own steps was a cache hit.

    Attributes:
        spans: when its own steps ran: start and end in seconds since the epoch.
        moved: bytes that BuildKit fetched.
        layers: its own, digest -> bytes.
        pushed: whether the layers are a registry's: these are compressed and have other digests than an
            engine's.
    """

    run: str
    spans: tuple[tuple[float, float], ...]
    moved: int
    layers: Mapping[str, int]
    pushed: bool


def with_saved(state: Path, outcome: Outcome, *, run: str, pushed: bool) -> Outcome:
    """Return the outcome with `Outcome.saved` from the last cold builds; keep the cold builds of this run."""
    colds = read_colds(state)
    saved = {
        name: _compare(colds[key], result, pushed=pushed)
        for name, result in outcome.results.items()
        if (key := _key(result)) in colds and _counts(result)
    }
    new = {
        _key(result): Cold(
            run=run,
            spans=tuple((round(start, 3), round(stop, 3)) for start, stop in result.spans),
            moved=result.moved,
            layers=result.layers,
            pushed=pushed,
        )
        for result in outcome.results.values()
        if result.status == "built" and result.cold
    }
    if new:
        with alone(state):
            kept = sorted({**read_colds(state), **new}.items(), key=lambda each: each[1].run)[-KEPT:]
            images = {key: asdict(cold) for key, cold in kept}
            write_json(state / "cold.json", {"schema": SCHEMA, "images": images})
    return replace(outcome, saved=saved, saved_in_all=_in_all(saved, colds, outcome) if saved else None)


def read_colds(state: Path) -> Mapping[str, Cold]:
    """Return image and platform -> its last cold build; empty if the file is missing or damaged."""
    document: Any = read_json(state / "cold.json")
    try:
        return {
            key: Cold(
                run=str(each["run"]),
                spans=tuple((float(start), float(stop)) for start, stop in each["spans"]),
                moved=int(each["moved"]),
                layers={str(digest): int(size) for digest, size in each["layers"].items()},
                pushed=bool(each["pushed"]),
            )
            for key, each in document["images"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _counts(result: Result) -> bool:
    """Whether the image can have savings: it was skipped, retagged, or built with cache hits."""
    return result.status in _UNTOUCHED or (result.status == "built" and not result.cold)


def _in_all(saved: Mapping[str, Saved], colds: Mapping[str, Cold], outcome: Outcome) -> Saved:
    """Return the savings of all images together: overlapping spans once, bytes only if all are known."""
    results = [outcome.results[name] for name in saved]
    then = (span for result in results for span in colds[_key(result)].spans)
    now = (span for result in results for span in result.spans)
    sizes = [each.bytes for each in saved.values()]
    known = None if None in sizes else sum(size or 0 for size in sizes)
    return Saved(seconds=round(max(0.0, _length(then) - _length(now)), 3), bytes=known)


def _compare(cold: Cold, result: Result, *, pushed: bool) -> Saved:
    """Return the savings of one image: what was fetched and made then and not now.

    Layers that are unchanged since the cold build were not made again.
    """
    now = result.moved + sum(size for digest, size in result.layers.items() if digest not in cold.layers)
    then = cold.moved + sum(cold.layers.values())
    known = cold.layers and (result.status in _UNTOUCHED or (result.layers and pushed == cold.pushed))
    return Saved(
        seconds=round(max(0.0, _length(cold.spans) - result.seconds), 3),
        bytes=max(0, then - now) if known else None,
    )


def _length(spans: Iterable[tuple[float, float]]) -> float:
    return sum(stop - start for start, stop in join_spans(spans))


def _key(result: Result) -> str:
    return f"{result.image.name}@{result.image.node.spec.platform}"
