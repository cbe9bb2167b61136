"""Go from plan to images: build, and record what is confirmed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from lamina.decide.plan import FoundImage, Plan
from lamina.declare.machine import native_platform
from lamina.errors import LaminaError
from lamina.execute.outcome import Outcome, broken_off, cancelled
from lamina.execute.retag import apply_without_build
from lamina.flow.lock import pin_for_build
from lamina.flow.plan import decide
from lamina.flow.session import Session
from lamina.flow.snapshot import Snapshot, look_up, select, store_kind, take_snapshot
from lamina.parallel import both
from lamina.report.cold import with_saved
from lamina.report.installs import with_resolved
from lamina.report.record import write_manifest
from lamina.report.runs import RunSettings, keep_run

Build = Callable[[Session, Plan, Snapshot, str], Outcome]
"""Builds a plan. Arguments: session, plan, the snapshot it was made from, name of the run."""


def build_images(
    session: Session, command: str, kind: str | None = None, *, by: Build | None = None
) -> Outcome:
    """Plan and build. Record every confirmed image, even if others fail, and record the run.

    by: the function that builds; by default with the engine's builder.
    """
    started = time.time()
    if session.flags.push:
        session.registries.require()  # before an engine is started
    snapshot = take_snapshot(session, select(session, kind), pins=pin_for_build)
    snapshot = look_up(session, snapshot, session.destination)
    plan = decide(session, snapshot, append=store_kind(session))
    session.screen.headline(plan.headline)
    session.screen.notes(plan.notes)
    if session.project.settings.append == "only":
        from lamina.flow.append import check_appends

        check_appends(session, plan)
    run = session.begin_run(builds=True)
    if session.flags.push:
        from lamina.flow.destination import check_destination

        images = [each.image for each in plan.decisions.values()]
        check_destination(session, snapshot.externals, images)
    if session.attestations:
        from lamina.flow.attest import check_attestable

        session.screen.notes(check_attestable(session, plan))
    state = session.project.state
    try:
        outcome = _apply(session, plan, snapshot, run, by or _build)
    except (LaminaError, KeyboardInterrupt) as error:
        problems = error.problems if isinstance(error, LaminaError) else ()
        _keep(session, command, run, plan, broken_off(plan, problems, interrupted=not problems), started)
        raise
    outcome = with_resolved(state, outcome)
    outcome = with_saved(state, outcome, run=run, pushed=session.flags.push)
    write_manifest(state, outcome, run=run, pushed=session.flags.push)
    _keep(session, command, run, plan, outcome, started)
    return outcome


def _apply(session: Session, plan: Plan, snapshot: Snapshot, run: str, by: Build) -> Outcome:
    results = apply_without_build(plan, session.destination)
    tagged = {
        name: FoundImage(ref=each.image.ref, digest=each.digest)
        for name, each in results.items()
        if each.status == "retagged" and each.digest
    }
    moved = plan.acting("retag") if session.flags.push else ()
    if moved:
        from lamina.execute.publish import carry

        for decision in moved:
            if decision.source:
                carry(session.destination, decision.source, decision.image.ref)
    plan = replace(plan, found={**plan.found, **tagged})
    built, rest = Outcome(results={}), plan
    if plan.appends:
        from lamina.flow.append import append_images, with_appends, without_appended

        built, refused = append_images(session, plan, snapshot.images)
        if refused and built.ok:  # what else is lost is found out as if none could be appended
            found = look_up(session, snapshot, session.destination)
            plan = with_appends(decide(session, found), refused)
        rest = without_appended(plan, built)
    results.update(built.results)
    if not built.ok:
        reason = "cancelled: the run broke off"
        results.update({each.image.name: cancelled(each, reason) for each in rest.acting("build")})
    elif rest.acting("build"):
        built = by(session, rest, snapshot, run)
        results.update(built.results)
        if session.project.settings.append != "never":
            from lamina.flow.append import note_for_appends, tag_for_appends

            if session.flags.push:
                session.screen.notes(tag_for_appends(session.registry, built, snapshot.images))
            else:
                note_for_appends(session.project.state, built, snapshot.images)
    return replace(built, results={name: results[name] for name in plan.decisions})


def _keep(session: Session, command: str, run: str, plan: Plan, outcome: Outcome, started: float) -> None:
    project = session.project
    settings = RunSettings(
        command=command,
        static=session.static,
        push=session.flags.push,
        platform=project.settings.platform or native_platform(),
        registry=project.settings.registry,
        builder=project.settings.builder,
    )
    seconds = time.time() - started
    keep_run(project.state, run, settings, plan, outcome, started=started, seconds=seconds, mask=session.mask)
    session.observe(run, outcome)


def _build(session: Session, plan: Plan, snapshot: Snapshot, run: str) -> Outcome:
    """Stage, bake and confirm the builds of a plan; then tidy their remote caches."""
    from lamina.execute.cache_exports import export_again
    from lamina.execute.externals import check_stand_ins
    from lamina.execute.run import build
    from lamina.execute.spread import build_spread
    from lamina.flow.cache import find_caches, is_on_fresh_builder, settle_caches
    from lamina.flow.request import (
        find_support,
        from_outside,
        make_build_env,
        make_ready,
        make_request,
    )
    from lamina.flow.spread import find_spreading

    decisions = plan.acting("build")
    outside = make_ready(session, snapshot.externals, (each.image.name for each in decisions))
    by_digest = session.flags.push or session.builder.local_images
    support = () if by_digest else find_support(decisions, snapshot.images)
    caches = find_caches(session, (decision.image for decision in decisions))
    session.screen.notes(caches.notes)
    request, fresh = both(
        lambda: make_request(session, plan.found, decisions, support, outside, caches.images),
        lambda: is_on_fresh_builder(session, caches),
    )
    used = from_outside((*(each.image for each in decisions), *support), outside)
    check_stand_ins(used, outside, session.builder)
    with session.screen.progress(tuple(decision.image.name for decision in decisions)) as view:
        build_env = make_build_env(session, used, session.destination, run, view)
        jobs, keep_going = session.project.settings.jobs, session.flags.keep_going
        if spreading := find_spreading(session, request, build_env):
            outcome = build_spread(request, build_env, spreading, keep_going=keep_going, jobs=jobs)
        else:
            outcome = build(request, build_env, keep_going=keep_going, jobs=jobs)
        notes = outcome.notes
        if caches.images:
            again = partial(export_again, request, build_env, outcome)
            exact = not request.reproducible
            caches = replace(caches, fresh=None if spreading else fresh)
            settled = settle_caches(session.registry, caches, outcome, run, again, exact=exact)
            outcome, notes = replace(outcome, cache_uses=settled.uses), (*notes, *settled.notes)
    session.screen.notes(notes)
    return outcome
