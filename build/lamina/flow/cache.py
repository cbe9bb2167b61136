"""Find the remote cache of a run: which references exist, and why others cannot be read."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import field, replace

from lamina.decide.cache_pays import CacheHistory, why_not_written
from lamina.errors import Problem, RegistryError
from lamina.execute.cache_history import CachedBuild, add_run, read_histories
from lamina.execute.cache_keys import NEXT_EXPORT, STEPS_KEY, Exported, forget_steps, tidy_caches
from lamina.execute.outcome import CacheUse, Outcome, Result
from lamina.execute.remote_cache import CachePolicy, ImageCache, branch_of_ci, make_caches
from lamina.execute.revision import read_branch
from lamina.flow.session import Session
from lamina.identify.image import Image
from lamina.parallel import both
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
    histories: Mapping[str, Reference] = field(default_factory=dict)
    """Image -> where a run adds what its cache cost and saved."""

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
    return _find(session, images, read_policy(session))


def _find(session: Session, images: Iterable[Image], policy: CachePolicy) -> Caches:
    chosen = tuple(image for image in images if not image.node.recipe.only_copies)
    histories = {image.name: policy.history(image) for image in chosen} if policy.auto else {}
    (known, notes), past = both(
        lambda: existing(session.registry, (ref for image in chosen for ref in policy.refs(image))),
        lambda: read_histories(session.registry, histories.values()) if histories else {},
    )
    caches = make_caches(policy, chosen, known, rewrite=session.flags.refresh)
    if histories:
        caches = {name: _if_it_pays(each, past.get(histories[name])) for name, each in caches.items()}
    writes = {name: ref for name, ref in histories.items() if caches[name].home}
    return Caches(images=caches, notes=(*notes, *unwritten(caches)), histories=writes)


def _if_it_pays(cache: ImageCache, history: CacheHistory | None) -> ImageCache:
    """Return the cache, without its export if that does not pay."""
    reason = why_not_written(history) if history and cache.export else None
    return replace(cache, export=None, off=reason) if reason else cache


def unwritten_by_a_push(session: Session, images: Iterable[Image]) -> tuple[Problem, ...]:
    """Return a note about the caches that a push of the images would not write because that does not pay."""
    policy = replace(read_policy(session), exports=not session.project.settings.cache_read_only)
    return unwritten(_find(session, images, policy).images)


def unwritten(caches: Mapping[str, ImageCache]) -> tuple[Problem, ...]:
    """Return a note about the caches that are not written because that does not pay."""
    off = [f"{name} ({cache.off})" for name, cache in caches.items() if cache.off]
    if not off:
        return ()
    what = f"remote caches are not written, because that does not pay: {'; '.join(off)}"
    hint = "a builder without their steps runs them; written again after 10 runs, or with --cache max"
    return (Problem(what=what, hint=hint),)


def is_on_fresh_builder(session: Session, caches: Caches) -> bool | None:
    """Return whether the builder has never built, so that cache hits come from the caches; None if unknown.

    It is not asked if no cache is read.
    """
    if not caches.imports:
        return None
    from lamina.execute.fresh import is_fresh

    return is_fresh(session.runner, session.engine, session.builder.name, session.project.state)


def settle_caches(
    registry: Registry,
    caches: Caches,
    outcome: Outcome,
    run: str,
    export_again: Callable[[Collection[str]], Mapping[str, str]] | None = None,
    *,
    exact: bool,
) -> SettledCaches:
    """Tidy the caches that the builds of a run exported, and record what they cost and saved.

    Args:
        run: its name.
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
        uses[name] = CacheUse(imports=bool(cache.imports), fresh=caches.fresh, off=cache.off)
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
    builds = {
        ref: CachedBuild(result=outcome.results[name], fresh=caches.fresh, imports=uses[name].imports)
        for name, ref in caches.histories.items()
        if name in uses
    }
    notes = (*notes, *add_run(registry, run, builds))
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
    auto = project.settings.cache == "auto"
    branch = (
        project.settings.cache_branch or branch_of_ci(os.environ) or read_branch(session.runner, project.root)
    )
    return CachePolicy(
        mode="max" if auto else project.settings.cache,
        auto=auto,
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
