"""Export incomplete remote caches once more, while the builder still has their steps."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from lamina.decide.plan import FoundImage
from lamina.errors import LaminaError
from lamina.execute.bake import CACHE_ONLY, BuildRequest
from lamina.execute.cache_gaps import cache_gaps
from lamina.execute.outcome import Outcome
from lamina.execute.run import BuildEnv, call_bake

_FOLDER = "caches"


def export_again(
    request: BuildRequest, build_env: BuildEnv, outcome: Outcome, names: Collection[str]
) -> Mapping[str, str]:
    """Export the caches of built images again, each on the builder that built it.

    Return the images whose cache is still incomplete -> why. No step runs, because all have just run. The
    files of the run are not changed.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(outcome.results[name].builder or build_env.builder, []).append(name)
    folder = build_env.folder / _FOLDER
    folder.mkdir(exist_ok=True)
    left: dict[str, str] = {}
    for number, (builder, group) in enumerate(groups.items(), 1):
        if builder in outcome.lost:
            left |= dict.fromkeys(group, "its builder does not answer")
            continue
        env = replace(build_env, folder=folder, builder=builder, watch=lambda _: None)
        left |= _export(request, env, outcome, group, number)
    return left


def _export(
    request: BuildRequest, build_env: BuildEnv, outcome: Outcome, names: Collection[str], number: int
) -> Mapping[str, str]:
    built = {
        name: FoundImage(ref=each.image.ref, digest=each.digest)
        for name, each in outcome.results.items()
        if each.digest
    }
    again = replace(
        request,
        decisions=tuple(
            replace(each, no_cache=False) for each in request.decisions if each.image.name in names
        ),
        support=(),
        found={**request.found, **built},
        caches={
            name: replace(cache, export=cache.home if name in names else None)
            for name, cache in request.caches.items()
        },
        output=CACHE_ONLY,
    )
    try:
        baked = call_bake(again, build_env, number)
    except (LaminaError, OSError) as error:
        return dict.fromkeys(names, str(error).splitlines()[0])
    if baked.interrupted:  # the images are already built
        return dict.fromkeys(names, "its export was stopped")
    if baked.error is not None:
        return dict.fromkeys(names, baked.error.splitlines()[-1])
    return cache_gaps(again, baked.trace)
