"""The outcome of a run: the result of each image, and the problems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from typing import Literal

from lamina.decide.plan import Decision, Plan
from lamina.errors import BuildError, LaminaError, Problem
from lamina.identify.image import Image
from lamina.values import dataclass

Status = Literal["built", "retagged", "pushed", "skipped", "failed", "cancelled", "started"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of one image. seconds: of its own build; size: bytes. digest: confirmed, else None.

    spans: when its steps ran: start and end in seconds since the epoch. moved: bytes that BuildKit fetched
    for it. layers: of its own instructions, digest -> bytes as stored; empty if unknown.
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
    """Whether it was built without a cache hit among its own steps."""
    moved: int = 0
    layers: Mapping[str, int] = field(default_factory=dict)
    base_layers: frozenset[str] = frozenset()
    """The digests of the layers below its own; empty if unknown."""
    ran: Mapping[str, float] = field(default_factory=dict)
    """Its own steps that ran -> seconds."""
    hits: tuple[str, ...] = ()
    """Its own steps that were cache hits, unless an earlier call of the run may have made them."""
    exported: float = 0.0
    """Seconds that the export of its remote cache took."""
    resolved: Mapping[str, str] = field(default_factory=dict)
    """The versions that its own steps installed, as far as known."""
    builder: str = ""
    """Which of several builders built it; empty if there was one."""
    appended: str | None = None
    """The digest of the image whose other layers it has, if it was made without a builder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What a run saved compared with the last cold builds of its images.

    seconds: of the images' own steps. bytes: fetched or made; None if unknown.
    """

    seconds: float
    bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheUse:
    """How the build of an image used the remote cache.

    Attributes:
        imports: whether it read any.
        fresh: whether its builder had never built before, so that cache hits can only come from the remote
            cache; None if unknown.
        export: the reference that was written; empty if none was.
        bytes: of what was written, the layers that the image does not have; None if unknown.
        off: why it was not written, as part of a sentence; empty if nothing was decided against it.
    """

    imports: bool = False
    fresh: bool | None = None
    export: str = ""
    bytes: int | None = None
    off: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of a run. problems: why images failed; empty on success. interrupted: by the user.

    kind: the error class of the problems, which sets the exit code.
    installs: image, also a failed one -> what its steps installed; see `Trace.installs`.
    saved: image -> its savings; without images that were cold or have no known cold build.
    saved_in_all: the savings of all images together: a second in which several were built counts once.
    """

    results: Mapping[str, Result]
    installs: Mapping[str, Mapping[str, Mapping[str, str] | None]] = field(default_factory=dict)
    saved: Mapping[str, Saved] = field(default_factory=dict)
    saved_in_all: Saved | None = None
    problems: tuple[Problem, ...] = ()
    interrupted: bool = False
    notes: tuple[Problem, ...] = ()
    """What the user should know and what does not fail the run."""
    uncached: Mapping[str, str] = field(default_factory=dict)
    """Image -> why its remote cache is incomplete; see `cache_gaps`."""
    cache_uses: Mapping[str, CacheUse] = field(default_factory=dict)
    """Image -> how its build used the remote cache; without images that have none."""
    kind: type[LaminaError] = BuildError
    lost: tuple[str, ...] = ()
    """The builders that ended or hung in a run on several."""
    remote: tuple[str, ...] = ()
    """The ids of the remote builds that made the images."""

    @property
    def built(self) -> tuple[str, ...]:
        """The images that were built and confirmed."""
        return tuple(name for name, result in self.results.items() if result.status == "built")

    @property
    def ok(self) -> bool:
        """Whether everything planned was done."""
        return not self.problems and not self.interrupted


def cancelled(decision: Decision, reason: str) -> Result:
    """Return the result of an image that should be built or tagged but was not reached."""
    return Result(image=decision.image, status="cancelled", reasons=(reason,))


def cut_short(
    so_far: Outcome, waiting: Iterable[Decision], error: LaminaError | OSError | KeyboardInterrupt
) -> Outcome:
    """Return the outcome of a run that an error outside the images stopped after some were confirmed."""
    stopped = isinstance(error, KeyboardInterrupt)
    reason = "the run was stopped" if stopped else "the run broke off"
    lost = {each.image.name: cancelled(each, f"cancelled: {reason}") for each in waiting}
    added: tuple[Problem, ...] = ()
    kind = so_far.kind
    if not isinstance(error, KeyboardInterrupt):
        fault = error if isinstance(error, LaminaError) else LaminaError.of_system(error)
        added, kind = fault.problems, type(fault)
    return replace(
        so_far,
        results={**so_far.results, **lost},
        problems=(*so_far.problems, *added),
        interrupted=stopped,
        kind=kind,
    )


def broken_off(plan: Plan, problems: tuple[Problem, ...], *, interrupted: bool) -> Outcome:
    """Return the outcome of a run that an error outside the images stopped."""
    reason = "the run was stopped" if interrupted else "the run failed"
    results = {
        name: Result(image=each.image, status="skipped", reasons=each.reasons)
        if each.action == "skip"
        else cancelled(each, f"cancelled: {reason}")
        for name, each in plan.decisions.items()
    }
    return Outcome(results=results, problems=problems, interrupted=interrupted)
