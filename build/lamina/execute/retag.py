"""Apply the decisions that need no build: retag images, and report those that exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.decide.plan import Decision, Plan
from lamina.errors import BuildError
from lamina.execute.outcome import Result

if TYPE_CHECKING:
    from lamina.execute.image_store import ImageStore


def apply_without_build(plan: Plan, store: ImageStore) -> dict[str, Result]:
    """Apply the decisions that need no build: do the retags, report the skips."""
    results = {decision.image.name: _skipped(decision) for decision in plan.acting("skip")}
    for decision in plan.acting("retag"):
        results[decision.image.name] = _retagged(decision, store)
    return results


def _skipped(decision: Decision) -> Result:
    found = decision.source
    return Result(
        image=decision.image,
        status="skipped",
        reasons=decision.reasons,
        digest=found.digest if found else None,
        size=found.size if found else 0,
    )


def _retagged(decision: Decision, store: ImageStore) -> Result:
    source = decision.source
    if source is None:
        raise ValueError("a retag without a source")
    store.retag(source, decision.image.ref)
    found = store.find([decision.image.ref]).get(decision.image.ref)
    if found is None or found.digest != source.digest:
        raise BuildError.of(f"{store.name} did not confirm {decision.image.ref}", hint="run it again")
    return Result(
        image=decision.image,
        status="retagged",
        reasons=decision.reasons,
        digest=found.digest,
        size=found.size,
    )
