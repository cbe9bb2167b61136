"""Find incomplete remote caches after a call of bake. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lamina.execute.bake import BuildRequest
from lamina.execute.progress import Trace
from lamina.execute.remote_cache import ImageCache
from lamina.execute.step_line import step_line


def cache_gaps(request: BuildRequest, trace: Trace) -> Mapping[str, str]:
    """Return the images whose remote cache is incomplete -> why, as part of a sentence.

    A cache to be written is incomplete if its export failed or did not finish: a failed export does not fail
    the build (``ignore-error``), only the events show it. A cache that was written earlier for exactly these
    steps is incomplete if a RUN step ran nevertheless. Empty if the trace has no steps.
    """
    if not trace.steps:
        return {}
    found: dict[str, str] = {}
    for decision in request.decisions:
        name = decision.image.name
        cache = request.caches.get(name, ImageCache())
        gap: str | None = None
        if cache.export is not None and cache.mode != "inline":
            gap = _failed_export(name, trace)
        elif cache.home is not None and cache.complete and not decision.no_cache:
            gap = _step_that_ran(name, trace, request.below(name))
        if gap:
            found[name] = gap
    return found


def _failed_export(image: str, trace: Trace) -> str | None:
    exports = [step for step in trace.of(image) if step.exports_cache]
    errors = [step.error.splitlines()[0] for step in exports if step.error]
    if errors:
        return f"its export failed: {errors[0]}"
    return None if any(step.finished for step in exports) else "its export did not come to its end"


def _step_that_ran(image: str, trace: Trace, below: Collection[str]) -> str | None:
    """Return why the cache is incomplete. Only RUN steps are always cache hits if their inputs are equal."""
    ran = (
        step.instruction
        for step in trace.steps
        if step.ran and image in step.images and step.images.isdisjoint(below)
    )
    return next((f"it did not have {step_line(each)}" for each in ran if each.startswith("RUN ")), None)
