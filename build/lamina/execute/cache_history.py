"""Keep in the registry what a remote cache cost and saved in the last runs of all machines.

The history is a manifest of its own beside the caches, so that a cache is never rewritten for it. Of two runs
that end at once, one entry may be lost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TypedDict

from lamina.decide.cache_pays import CacheHistory, CacheRun, with_run
from lamina.errors import Problem, RegistryError
from lamina.execute.cache_keys import CONFIG
from lamina.execute.outcome import Result
from lamina.parallel import gather
from lamina.refs import Reference
from lamina.registries.base import OCI_MANIFEST, Manifest, Registry, sha256
from lamina.values import dataclass

HISTORY_KEY = "dev.lamina.cache-history"
"""Annotation with the history, JSON."""
_EMPTY = b"{}"
_MOST_STEPS = 200
_THREADS = 16


class RunEntry(TypedDict):
    """See `CacheRun`."""

    run: str
    cost: float
    saved: float | None


class HistoryEntry(TypedDict):
    """See `CacheHistory`."""

    runs: list[RunEntry]
    steps: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedBuild:
    """What a build adds to a history. fresh: whether its builder had never built before; None if unknown."""

    result: Result
    fresh: bool | None
    imports: bool


def read_histories(registry: Registry, refs: Iterable[Reference]) -> Mapping[Reference, CacheHistory]:
    """Return the histories that can be read; the others are left out."""
    wanted = tuple(refs)
    try:
        manifests = registry.manifests(wanted)
    except RegistryError:
        return {}
    return {ref: _parse(manifest) for ref, manifest in manifests.items() if manifest is not None}


def add_run(registry: Registry, run: str, builds: Mapping[Reference, CachedBuild]) -> tuple[Problem, ...]:
    """Add a run to the histories of its images, in parallel. Return what went wrong.

    Each is read again: other runs may have written it while this one built.
    """
    busy = {name for each in builds.values() for name in each.result.ran}

    def add(ref: Reference) -> tuple[Problem, ...]:
        try:
            manifest = registry.manifest(ref)
            before = _parse(manifest) if manifest else CacheHistory()
            entry = _entry(run, builds[ref], before.steps, busy)
            ran = {step_key(step): seconds for step, seconds in builds[ref].result.ran.items()}
            document = _render(with_run(before, entry, ran))
            registry.write(ref, document, *(() if manifest else (_EMPTY,)))
        except RegistryError as error:
            return error.problems
        return ()

    return tuple(problem for each in gather(add, builds, threads=_THREADS) for problem in each)


def step_key(instruction: str) -> str:
    """Return a short key of an instruction, from which its text cannot be read."""
    return hashlib.sha256(instruction.encode()).hexdigest()[:12]


def _entry(run: str, build: CachedBuild, known: Mapping[str, float], busy: set[str]) -> CacheRun:
    """Return the entry of a build. busy: the instructions that ran in the run, for any image.

    A cache hit on one of these may be of this run, and is not counted.
    """
    hits = [step for step in build.result.hits if step not in busy] if build.imports else []
    saved = _saved(hits, build.fresh, known)
    return CacheRun(run=run, cost=round(build.result.exported, 3), saved=saved)


def _saved(hits: Iterable[str], fresh: bool | None, known: Mapping[str, float]) -> float | None:
    """Return the seconds of imported steps; None if unknown. Only those of RUN must be known."""
    if fresh is False:
        return 0.0
    seconds = [known.get(step_key(step), None if step.startswith("RUN ") else 0.0) for step in hits]
    if (seconds and fresh is None) or None in seconds:
        return None
    return round(sum(each or 0.0 for each in seconds), 3)


def _parse(manifest: Manifest) -> CacheHistory:
    """Return the history of a manifest; an empty one if it is damaged."""
    try:
        entry: HistoryEntry = json.loads(manifest.annotations[HISTORY_KEY])
        return CacheHistory(
            runs=tuple(
                CacheRun(
                    run=str(each["run"]),
                    cost=float(each["cost"]),
                    saved=None if each["saved"] is None else float(each["saved"]),
                )
                for each in entry["runs"]
            ),
            steps={str(key): float(seconds) for key, seconds in entry["steps"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return CacheHistory()


def _render(history: CacheHistory) -> Manifest:
    entry: HistoryEntry = {
        "runs": [{"run": each.run, "cost": each.cost, "saved": each.saved} for each in history.runs],
        "steps": dict(list(history.steps.items())[-_MOST_STEPS:]),
    }
    blob = {"digest": sha256(_EMPTY), "size": len(_EMPTY)}
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": CONFIG, **blob},  # `gc` and lifecycle rules take it for a cache
        "layers": [{"mediaType": "application/vnd.oci.empty.v1+json", **blob}],
        "annotations": {HISTORY_KEY: json.dumps(entry, separators=(",", ":"))},
    }
    return Manifest.of(json.dumps(document, separators=(",", ":")).encode(), OCI_MANIFEST)
