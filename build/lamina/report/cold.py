"""The last cold build of each image, in one small file: what a run spares is measured against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.execute.outcome import Saved
from lamina.files import read_json, write_json
from lamina.report.document import SCHEMA
from lamina.report.record import alone

if TYPE_CHECKING:
    from lamina.execute.outcome import Outcome, Result

KEPT = 500
"""Images: those of which the last cold build is longest ago give way."""
_UNTOUCHED = ("skipped", "retagged")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cold:
    """A build in which nothing of the image's own came from a cache.

    seconds: of its own steps. moved: bytes that BuildKit fetched. layers: its own, digest -> bytes.
    pushed: whether those are a registry's, which are packed and have other digests than an engine's.
    """

    run: str
    seconds: float
    moved: int
    layers: Mapping[str, int]
    pushed: bool


def with_saved(state: Path, outcome: Outcome, *, run: str, pushed: bool) -> Outcome:
    """Fill in `Outcome.saved` from the last cold builds, and keep those of this run."""
    colds = read_colds(state)
    saved = {
        name: _compare(colds[key], result, pushed=pushed)
        for name, result in outcome.results.items()
        if (key := _key(result)) in colds and _counts(result)
    }
    new = {
        _key(result): Cold(
            run=run,
            seconds=round(result.seconds, 3),
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
    return replace(outcome, saved=saved)


def read_colds(state: Path) -> Mapping[str, Cold]:
    """Image and platform -> its last cold build; none when there is no file or it is damaged."""
    document: Any = read_json(state / "cold.json")
    try:
        return {
            key: Cold(
                run=str(each["run"]),
                seconds=float(each["seconds"]),
                moved=int(each["moved"]),
                layers={str(digest): int(size) for digest, size in each["layers"].items()},
                pushed=bool(each["pushed"]),
            )
            for key, each in document["images"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _counts(result: Result) -> bool:
    """Whether there is something to compare: a cold build is the measure itself."""
    return result.status in _UNTOUCHED or (result.status == "built" and not result.cold)


def _compare(cold: Cold, result: Result, *, pushed: bool) -> Saved:
    """What was fetched and made then and not now. Of layers that are still the same nothing is made."""
    now = result.moved + sum(size for digest, size in result.layers.items() if digest not in cold.layers)
    then = cold.moved + sum(cold.layers.values())
    known = cold.layers and (result.status in _UNTOUCHED or (result.layers and pushed == cold.pushed))
    return Saved(
        seconds=round(max(0.0, cold.seconds - result.seconds), 3), bytes=max(0, then - now) if known else None
    )


def _key(result: Result) -> str:
    return f"{result.image.name}@{result.image.node.spec.platform}"
