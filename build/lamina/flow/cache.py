"""Find the remote cache of a run: which references exist, and why others cannot be read."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import field, replace

from lamina.errors import Problem, RegistryError
from lamina.execute.cache_keys import NEXT_EXPORT, STEPS_KEY, Exported, forget_steps, tidy_caches
from lamina.execute.outcome import CacheUse, Outcome, Result
from lamina.execute.remote_cache import CachePolicy, ImageCache, branch_of_ci, make_caches
from lamina.execute.revision import read_branch
from lamina.flow.session import Session
from lamina.identify.image import Image
from lamina.refs import Reference
from lamina.registries.base import Manifest, Registry
from lamina.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Caches:
    """The remote caches of a run's builds, by image. notes: why something is not cached.

    fresh: whether the builder had never built before; None if unknown.
    """

    images: Mapping[str, ImageCache] = field(default_factory=dict)
    notes: tuple[Problem, ...] = ()
    fresh: bool | None = None

    @property
    def imports(self) -> bool:
        """Whether any cache is read."""
        return any(each.imports for each in self.images.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledCaches:
    """The remote caches after a run. notes: for the user. uses: image -> how its build used its cache."""

    notes: tuple[Problem, ...]
    uses: Mapping[str, CacheUse]


def find_caches(session: Session, images: Iterable[Image]) -> Caches:
    """Ask the registry, in parallel, which cache references exist. An error is a note, not a failure."""
    if not session.remote or session.project.settings.cache == "off":
        return Caches()
    if not session.builder.remote_cache:
        what = f"no remote cache: the builder {session.builder.name} cannot read or write one"
        return Caches(notes=(Problem(what=what, hint="turn on the engine's containerd image store"),))
    policy = read_policy(session)
    chosen = tuple(image for image in images if not image.node.recipe.only_copies)
    known, notes = existing(session.registry, (ref for image in chosen for ref in policy.refs(image)))
    return Caches(images=make_caches(policy, chosen, known, rewrite=session.flags.refresh), notes=notes)


def settle_caches(
    registry: Registry,
    caches: Caches,
    outcome: Outcome,
    export_again: Callable[[Collection[str]], Mapping[str, str]] | None = None,
    *,
    exact: bool,
) -> SettledCaches:
    """Tidy the caches that the builds of a run exported.

    Args:
        export_again: exports the caches of the named images once more and returns the incomplete ones -> why;
            None if that is impossible.
        exact: whether images contain the same layers as their caches: not if timestamps are rewritten.
    """
    lacking = {name: gap for name, gap in outcome.uncached.items() if name in outcome.built}
    left: Mapping[str, str] = lacking
    if lacking and export_again and not outcome.interrupted:
        left = export_again(lacking.keys())
    exported: dict[Reference, Exported] = {}
    uses: dict[str, CacheUse] = {}
    stale: list[Reference] = []
    for name, cache in caches.images.items():
        if name not in outcome.built:
            continue
        uses[name] = CacheUse(imports=bool(cache.imports), fresh=caches.fresh)
        target = cache.home if name in lacking else cache.export
        if target is None:
            continue
        if name not in left:
            result = outcome.results[name]
            exported[target] = Exported(
                steps=cache.steps,
                layers=_own_layers(result) if exact else frozenset(),
                stored=result.base_layers | result.layers.keys(),
            )
            uses[name] = replace(uses[name], export=str(target))
        elif target in cache.imports:
            stale.append(target)
    tidied = tidy_caches(registry, exported)
    added = {str(ref): count for ref, count in tidied.added.items()}
    notes = (*_describe(lacking, left), *tidied.problems, *forget_steps(registry, stale))
    return SettledCaches(
        notes=notes, uses={name: replace(use, bytes=added.get(use.export)) for name, use in uses.items()}
    )


def _describe(lacking: Mapping[str, str], left: Mapping[str, str]) -> Iterator[Problem]:
    for name, gap in lacking.items():
        if name in left:
            what = f"the remote cache of {name} is not written: {left[name]}"
            yield Problem(what=what, hint=NEXT_EXPORT)
        else:
            yield Problem(what=f"the remote cache of {name} was written once more: {gap}")


def _own_layers(result: Result) -> frozenset[str]:
    """Return the layers that the cache must have, for an image whose steps all ran.

    Empty if that is uncertain: a WORKDIR may not make a layer.
    """
    recipe = result.image.node.recipe
    sure = result.cold and all(each.name != "WORKDIR" for each in recipe.instructions)
    return frozenset(result.layers) if sure else frozenset()


def read_policy(session: Session) -> CachePolicy:
    """Return how the project caches. Only a push writes a cache: others cannot use unpushed images."""
    project = session.project
    branch = (
        project.settings.cache_branch or branch_of_ci(os.environ) or read_branch(session.runner, project.root)
    )
    return CachePolicy(
        mode=project.settings.cache,
        repository=project.settings.cache_repository,
        branch=branch,
        fallback=project.settings.cache_fallback,
        exports=session.flags.push and not project.settings.cache_read_only,
    )


def existing(
    registry: Registry, refs: Iterable[Reference]
) -> tuple[Mapping[Reference, str | None], tuple[Problem, ...]]:
    """Return the existing references -> the steps they were written for; and why others are unreadable."""
    wanted = tuple(dict.fromkeys(refs))
    found: dict[Reference, Manifest | None] = {}
    problems: dict[Problem, None] = {}
    try:
        found.update(registry.manifests(wanted))
    except RegistryError:
        for ref in wanted:
            try:
                found[ref] = registry.manifest(ref)
            except RegistryError as error:
                problems.update(dict.fromkeys(error.problems))
    known = {ref: manifest.annotations.get(STEPS_KEY) for ref, manifest in found.items() if manifest}
    return known, tuple(problems)
