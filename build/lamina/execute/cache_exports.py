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
_ONLY = 1


def export_again(
    request: BuildRequest, build_env: BuildEnv, outcome: Outcome, names: Collection[str]
) -> Mapping[str, str]:
    """Export the caches of built images again. Return the images whose cache is still incomplete -> why.

    No step runs, because all have just run. The files of the run are not changed.
    """
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
    folder = build_env.folder / _FOLDER
    folder.mkdir(exist_ok=True)
    try:
        baked = call_bake(again, replace(build_env, folder=folder, watch=lambda _: None), _ONLY)
    except (LaminaError, OSError) as error:
        return dict.fromkeys(names, str(error).splitlines()[0])
    if baked.interrupted:  # the images are already built
        return dict.fromkeys(names, "its export was stopped")
    if baked.error is not None:
        return dict.fromkeys(names, baked.error.splitlines()[-1])
    return cache_gaps(again, baked.trace)
