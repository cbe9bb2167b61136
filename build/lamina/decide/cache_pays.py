"""Decide whether writing a remote cache pays, from what its last runs cost and saved. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from lamina.values import dataclass

WINDOW = 10
"""Runs that are looked at. With fewer, a cache is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRun:
    """A build of an image that could write its remote cache.

    Attributes:
        run: its name; names sort by time.
        cost: seconds of the export; 0 if there was none.
        saved: seconds of the steps that it took from the remote cache, as long as these took when they ran;
            None if it is not known whether cache hits were the builder's own.
    """

    run: str
    cost: float
    saved: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheHistory:
    """The last runs of an image, of all machines and branches.

    Attributes:
        runs: the latest last.
        steps: key of a step -> its seconds when it last ran, the latest last; see `step_key`.
    """

    runs: tuple[CacheRun, ...] = ()
    steps: Mapping[str, float] = field(default_factory=dict)


def why_not_written(history: CacheHistory) -> str | None:
    """Return why an image's cache is not written, as part of a sentence; None if it is.

    It is not if exports cost more than the cache saved in the last ten runs. Runs without an export cost
    nothing, so a cache that is not written is written again after ten of them at the latest.
    """
    last = history.runs[-WINDOW:]
    saved = [run.saved for run in last if run.saved is not None]
    if len(saved) < WINDOW:
        return None
    cost, gain = sum(run.cost for run in last), sum(saved)
    if not cost > gain:  # not a number, in a damaged history: written
        return None
    return f"in its last {WINDOW} runs exports took {cost:.1f} s and it saved {gain:.1f} s"


def with_run(history: CacheHistory, run: CacheRun, ran: Mapping[str, float]) -> CacheHistory:
    """Return the history with one more run. ran: key of each step that ran -> its seconds."""
    others = [each for each in history.runs if each.run != run.run]
    runs = tuple(sorted((*others, run), key=lambda each: each.run)[-WINDOW:])
    older = {key: seconds for key, seconds in history.steps.items() if key not in ran}
    return CacheHistory(runs=runs, steps={**older, **ran})
