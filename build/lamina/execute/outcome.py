"""The end of a run: what became of each image, and what went wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from lamina.decide.plan import Decision, Plan
from lamina.errors import BuildError, LaminaError, Problem
from lamina.identify.image import Image

Status = Literal["built", "retagged", "pushed", "skipped", "failed", "cancelled", "started"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one image. seconds: of its own build; size: bytes. digest: confirmed, else None.

    spans: when that was, start and end in seconds since the epoch. moved: bytes that BuildKit fetched for it.
    layers: of its own instructions, digest -> bytes as they are kept; empty where nobody tells.
    """

    image: Image
    status: Status
    reasons: tuple[str, ...]
    digest: str | None = None
    size: int = 0
    seconds: float = 0.0
    spans: tuple[tuple[float, float], ...] = ()
    cached: int = 0
    total: int = 0
    cold: bool = False
    """Whether it was built and nothing of its own came from a cache."""
    moved: int = 0
    layers: Mapping[str, int] = field(default_factory=dict)
    resolved: Mapping[str, str] = field(default_factory=dict)
    """The versions that its own steps installed, as far as that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What a run spared, held against the last cold builds of its images.

    seconds: in which their own steps ran. bytes: fetched or made; None where that is not known.
    """

    seconds: float
    bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of a run. problems: why images failed; empty when all went well. interrupted: by the user.

    kind: the error that the problems are, and so the exit code.
    installs: image, failed ones too -> what its steps installed; see `Trace.installs`.
    saved: image -> what was spared; without those that were cold, or of which no cold build is known.
    saved_in_all: the same of all those together: a second in which several were built counts once.
    """

    results: Mapping[str, Result]
    installs: Mapping[str, Mapping[str, Mapping[str, str] | None]] = field(default_factory=dict)
    saved: Mapping[str, Saved] = field(default_factory=dict)
    saved_in_all: Saved | None = None
    problems: tuple[Problem, ...] = ()
    interrupted: bool = False
    notes: tuple[Problem, ...] = ()
    """What the user should know of it and what stops nothing."""
    uncached: Mapping[str, str] = field(default_factory=dict)
    """Image -> what its remote cache lacks; see `cache_gaps`."""
    kind: type[LaminaError] = BuildError
    remote: tuple[str, ...] = ()
    """The builds elsewhere by which it was made, as they are called there."""

    @property
    def built(self) -> tuple[str, ...]:
        """The images that were built and confirmed."""
        return tuple(name for name, result in self.results.items() if result.status == "built")

    @property
    def ok(self) -> bool:
        """Whether everything that was planned is done."""
        return not self.problems and not self.interrupted


def cancelled(decision: Decision, reason: str) -> Result:
    """An image that was to be built or tagged and was not reached."""
    return Result(image=decision.image, status="cancelled", reasons=(reason,))


def cut_short(
    so_far: Outcome, waiting: Iterable[Decision], error: LaminaError | OSError | KeyboardInterrupt
) -> Outcome:
    """The end of a run of which something is confirmed when what is no image's own fault stops it."""
    stopped = isinstance(error, KeyboardInterrupt)
    reason = "the run was stopped" if stopped else "the run broke off"
    lost = {each.image.name: cancelled(each, f"cancelled: {reason}") for each in waiting}
    told: tuple[Problem, ...] = ()
    kind = so_far.kind
    if not isinstance(error, KeyboardInterrupt):
        fault = error if isinstance(error, LaminaError) else LaminaError.of_system(error)
        told, kind = fault.problems, type(fault)
    return replace(
        so_far,
        results={**so_far.results, **lost},
        problems=(*so_far.problems, *told),
        interrupted=stopped,
        kind=kind,
    )


def broken_off(plan: Plan, problems: tuple[Problem, ...], *, interrupted: bool) -> Outcome:
    """The end of a run that stopped at what is no image's own fault."""
    reason = "the run was stopped" if interrupted else "the run failed"
    results = {
        name: Result(image=each.image, status="skipped", reasons=each.reasons)
        if each.action == "skip"
        else cancelled(each, f"cancelled: {reason}")
        for name, each in plan.decisions.items()
    }
    return Outcome(results=results, problems=problems, interrupted=interrupted)
