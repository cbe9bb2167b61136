"""Audit: rebuild the images that a plan skips, with the cache, and compare them with the existing ones."""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count

from lamina.audit.compare import Audited, audit
from lamina.audit.layers import AuditVerdict
from lamina.decide.layers import LayerStep, steps
from lamina.decide.plan import Decision, Plan
from lamina.errors import LaminaError, Problem, SelectionError
from lamina.execute.append import APPENDED_KEY
from lamina.execute.externals import Externals
from lamina.flow.append import switch_off
from lamina.flow.cache import find_caches
from lamina.flow.plan import decide
from lamina.flow.request import (
    find_support,
    from_outside,
    make_build_env,
    make_ready,
    make_request,
)
from lamina.flow.session import Session
from lamina.flow.snapshot import Snapshot, look_up, take_snapshot
from lamina.identify.image import Image
from lamina.report.runs import name_run

_SEEDS = 10**6


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The audited images, in build order.

    Attributes:
        skipped: how many images the plan skips.
        seed: the seed of the sample, to repeat it; None if all were audited.
    """

    images: tuple[Audited, ...]
    skipped: int
    seed: int | None = None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """One problem for each false skip, with its evidence."""
        return tuple(_problem(each) for each in self.images if each.verdict.conclusion == "false skip")


def audit_skips(session: Session, *, sample: int = 0, seed: int = 0) -> Audit:
    """Rebuild the skipped images from the staged contexts, with the cache, and compare layer by layer.

    Nothing is tagged, pushed or recorded.

    Args:
        sample: How many images to audit; 0 for all.
        seed: Chooses the sample; 0 for a random one.

    Raises:
        SelectionError: The sample is negative.
    """
    if sample < 0:
        raise SelectionError.of(f"{sample} images cannot be audited", where="--sample", allowed="0 for all")
    snapshot = look_up(session, take_snapshot(session))
    plan = decide(session, snapshot)
    session.screen.headline(plan.headline)
    skips = chosen = plan.acting("skip")
    if 0 < sample < len(skips):
        seed = seed or secrets.randbelow(_SEEDS) + 1
        picked = set(random.Random(seed).sample(range(len(skips)), sample))  # noqa: S311 - no secret
        chosen = tuple(each for index, each in enumerate(skips) if index in picked)
    broken = _broken(session, chosen)
    whole = tuple(each for each in chosen if each.image.name not in broken)
    solved = _audit(session, plan, whole, snapshot) if whole else ()
    made = {**broken, **{each.image.name: each for each in solved}}
    audited = tuple(made[each.image.name] for each in chosen)
    session.screen.notes(_distrust_appends(session, audited))
    return Audit(images=audited, skipped=len(skips), seed=seed if len(chosen) < len(skips) else None)


def _broken(session: Session, chosen: tuple[Decision, ...]) -> Mapping[str, Audited]:
    """Return the verdicts of images with missing content in the image store, which need no rebuild."""
    found = {each.image.name: each.source for each in chosen if each.source is not None}
    seen = session.image_store.examine(found) if found else {}
    return {
        each.image.name: Audited(
            image=each.image,
            found=seen[each.image.name],
            verdict=AuditVerdict(
                conclusion="false skip",
                reasons=(f"{session.image_store.name} has lost {seen[each.image.name].lacks}",),
            ),
            cached=0,
            total=0,
            ran=(),
        )
        for each in chosen
        if each.image.name in seen and seen[each.image.name].lost
    }


def _audit(
    session: Session,
    plan: Plan,
    chosen: tuple[Decision, ...],
    snapshot: Snapshot,
) -> tuple[Audited, ...]:
    """Audit one image at a time, so that a failure does not affect the next."""
    images = snapshot.images
    outside = make_ready(session, snapshot.externals, images)
    visible = plan.found if session.remote or session.builder.local_images else ()
    caches = find_caches(session, (each.image for each in chosen))
    attempts = count(1)
    audited = []
    with session.screen.progress(tuple(each.image.name for each in chosen)) as view:
        used = from_outside(images.values(), outside)
        env = make_build_env(session, used, session.image_store, name_run("audit"), view)
        for decision in chosen:
            support = find_support((decision,), images, visible)
            request = make_request(session, plan.found, (decision,), support, outside, caches.images)
            audited.append(audit(request, env, attempts, made_by(decision.image, outside)))
    return tuple(audited)


def _distrust_appends(session: Session, audited: Iterable[Audited]) -> Iterator[Problem]:
    """Switch appending off if an appended image is not what a build makes; yield a note that says so."""
    for each in audited:
        if each.verdict.conclusion == "false skip" and not each.found.lost and _is_appended(session, each):
            file = switch_off(session.project.state, f"an audit found {each.image.name} to differ")
            yield Problem(
                what=f"{each.image.name} was made without a builder, and a build makes a different image: "
                "code changes go through the builder on this machine from now on",
                where=str(file),
                hint='append = "never" in [tool.lamina] switches it off everywhere; please report it',
            )


def _is_appended(session: Session, audited: Audited) -> bool:
    try:
        with session.image_store.open(audited.found) as content:
            return APPENDED_KEY in content.annotations
    except LaminaError:
        return False


def made_by(image: Image, outside: Externals) -> tuple[LayerStep, ...]:
    """Return the steps that make an image's layers; the digest of a stand-in base is not pinned."""
    pinned = not any(each.name in outside.stand_ins for each in image.node.externals)
    return steps(image.node, exact_base=pinned and not image.node.parents)


def _problem(audited: Audited) -> Problem:
    name = audited.image.name
    evidence = [*audited.verdict.reasons, *(f"not in the cache: {step}" for step in audited.ran)]
    return Problem(
        what="\n".join(
            (f"{name} was skipped, but a build makes a different image", *(f"  {each}" for each in evidence))
        ),
        where=str(audited.found.ref),
        hint=f"invoke build-all --push --refresh --image {name}"
        if audited.found.lost
        else f"invoke build-all --image {name} --force, and please report it: a skip must always be right",
    )
