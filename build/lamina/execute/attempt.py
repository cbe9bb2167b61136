"""A build as a sequence of attempts: what one call of bake achieved, and the state that follows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from lamina.decide.plan import Decision, FoundImage
from lamina.errors import BuildError, LaminaError, Problem
from lamina.execute.bake import BuildRequest
from lamina.execute.baked import Baked
from lamina.execute.cache_gaps import cache_gaps
from lamina.execute.failure import explain, kind_of, lost_result
from lamina.execute.outcome import Outcome, Result, cancelled
from lamina.execute.progress import Trace

Installs = Mapping[str, Mapping[str, Mapping[str, str] | None]]
"""Image -> step -> what it installed, by name; None if unknown. See `Trace.installs`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What one call of bake achieved.

    batch: the images it was called for. confirmed: those that exist now. doubts: those that should exist and
    are not confirmed -> why. broken: those that failed for good -> the failed step; None if all failures can
    be retried, empty if bake failed without a failed image. problems: why credentials could not be renewed.
    """

    batch: BuildRequest
    baked: Baked
    confirmed: Mapping[str, Result] = field(default_factory=dict)
    doubts: Mapping[str, Problem] = field(default_factory=dict)
    broken: Mapping[str, str] | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def lost(self) -> Mapping[str, str] | None:
        """The images that failed for good or are not confirmed -> where; None if nothing failed for good."""
        doubted = dict.fromkeys(self.doubts, "its confirmation")
        return {**(self.broken or {}), **doubted} if doubted else self.broken


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildState:
    """How far a build is. waiting: what is left to build. The other fields are those of `Outcome`."""

    waiting: BuildRequest
    results: Mapping[str, Result] = field(default_factory=dict)
    installs: Installs = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    uncached: Mapping[str, str] = field(default_factory=dict)
    kinds: frozenset[type[LaminaError]] = frozenset()
    """The error classes of the problems: one of them, or BuildError, sets the exit code."""

    def outcome(self, notes: Iterable[Problem]) -> Outcome:
        """Return the outcome if the build ended now."""
        return Outcome(
            results=self.results,
            installs=self.installs,
            problems=self.problems,
            notes=tuple(notes),
            uncached=self.uncached,
            kind=next(iter(self.kinds)) if len(self.kinds) == 1 else BuildError,
        )


def next_state(state: BuildState, attempt: Attempt, *, keep_going: bool) -> BuildState:
    """Return the state after an attempt.

    keep_going: after a failure, still build the images that do not depend on it.
    """
    batch, trace, lost = attempt.batch, attempt.baked.trace, attempt.lost
    results = {**state.results, **attempt.confirmed}
    problems = [*state.problems, *attempt.problems]
    kinds = set(state.kinds)
    if attempt.broken is not None:
        problems += explain(batch, trace, attempt.broken, attempt.baked.error or "")
        results |= {name: lost_result(batch, name, trace, what) for name, what in attempt.broken.items()}
        kinds.add(kind_of(attempt.broken, trace))
    if attempt.doubts:
        problems += attempt.doubts.values()
        results |= doubtful(batch, attempt.doubts)
        kinds.add(BuildError)
    waiting, skipped = _remaining(state.waiting, attempt.confirmed.keys(), lost or {})
    results |= skipped
    if lost is not None and not attempt.baked.stopped and not (keep_going and lost):
        reason = "cancelled: another image failed" if lost else "cancelled: the build failed"
        results |= {each.image.name: cancelled(each, reason) for each in waiting.decisions}
        waiting = replace(waiting, decisions=())
    return replace(
        state,
        waiting=replace(waiting, found={**waiting.found, **_existing(results)}),
        results=results,
        problems=tuple(problems),
        uncached=_gaps(state, batch, trace),
        kinds=frozenset(kinds),
    )


def _gaps(state: BuildState, batch: BuildRequest, trace: Trace) -> Mapping[str, str]:
    """Return the incomplete caches: a call that builds an image again also writes its cache again."""
    again = {each.image.name for each in batch.decisions}
    before = {name: gap for name, gap in state.uncached.items() if name not in again}
    return {**before, **cache_gaps(batch, trace)}


def next_batch(request: BuildRequest, jobs: int) -> tuple[Decision, ...]:
    """Return the decisions that the next call of bake builds, at most ``jobs``; 0: no limit.

    An image that runs commands on its base waits until the base exists by digest, as in every later run:
    BuildKit's cache treats a base built in the same call as a different one, so the first edit of a handler
    would install everything again. A reproducible image always waits: only an existing base's layers keep
    their own timestamps and digests.
    """
    bases_by_digest = request.push or request.local_images
    missing = {decision.image.name for decision in request.decisions}
    chosen: dict[str, Decision] = {}
    for decision in request.decisions:
        node = decision.image.node
        awaited = missing.intersection(node.parents)
        apart = bases_by_digest and (request.reproducible or node.recipe.unlinked)
        if awaited <= chosen.keys() and not (awaited and apart):
            chosen[node.name] = decision
    return tuple(chosen.values())[: jobs or None]


def with_installs(known: Installs, request: BuildRequest, trace: Trace) -> Installs:
    """Add what a call of bake installed. A step that ran in an earlier attempt is cached in a later one."""
    added: dict[str, dict[str, Mapping[str, str] | None]] = {}
    for name in (image.name for image in request.images):
        before = known.get(name, {})
        found = trace.installs(name, request.below(name))
        kept = {step: before.get(step) if each is None else each for step, each in found.items()}
        added[name] = {**before, **kept}
    return {**known, **added}


def doubtful(request: BuildRequest, doubts: Mapping[str, Problem]) -> Mapping[str, Result]:
    """Return failed results for the images that were built but not confirmed."""
    return {
        each.image.name: Result(
            image=each.image, status="failed", reasons=(doubts[each.image.name].what.splitlines()[0],)
        )
        for each in request.decisions
        if each.image.name in doubts
    }


def _existing(results: Mapping[str, Result]) -> Mapping[str, FoundImage]:
    return {name: FoundImage(ref=r.image.ref, digest=r.digest) for name, r in results.items() if r.digest}


def _remaining(
    request: BuildRequest, done: Iterable[str], broken: Mapping[str, str]
) -> tuple[BuildRequest, Mapping[str, Result]]:
    """Return the rest of the request, and results for the images that are built from a failed one."""
    finished, lost = frozenset(done), dict.fromkeys(broken, "")
    left: list[Decision] = []
    skipped: dict[str, Result] = {}
    for decision in request.decisions:
        name = decision.image.name
        if name in finished or name in broken:
            continue
        culprit = next((parent for parent in decision.image.node.parents if parent in lost), None)
        if culprit is None:
            left.append(decision)
            continue
        root = lost[culprit] or culprit
        lost[name] = root
        skipped[name] = cancelled(decision, f"skipped: {root} failed")
    kept = tuple(each.image for each in request.decisions if each.image.name in finished)
    unseen = () if request.push or request.local_images else kept
    return replace(request, decisions=tuple(left), support=(*request.support, *unseen)), skipped
