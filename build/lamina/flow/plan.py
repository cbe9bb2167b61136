"""Go from what the project is now to the plan: decide about each image, and check what will be built."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from lamina.decide import preflight
from lamina.decide.exposure import exposed
from lamina.decide.plan import Decision, FoundImage, Plan, StoreKind, StoreLookup, lacking, make_plan
from lamina.decide.requirements import unpinned
from lamina.declare.machine import OF_THE_IMAGE, this_machine
from lamina.errors import ConfigError, EngineError, Problem, RegistryError, by_certainty
from lamina.execute.externals import Externals
from lamina.flow.lock import newer_upstream
from lamina.flow.session import Session
from lamina.flow.snapshot import Snapshot, look_up, select, take_snapshot
from lamina.identify.image import Image, local_names
from lamina.preflight.kept import check
from lamina.report.record import read_last_inputs


def make_plan_only(session: Session) -> Plan:
    """Make the plan as a dry run. Start no engine; if the store does not answer, plan offline and say why."""
    newer = tuple(newer_upstream(session, select(session))) if session.flags.upstream else ()
    session = session.without_start()
    try:
        snapshot = look_up(session, take_snapshot(session))
    except (EngineError, RegistryError) as error:
        if session.flags.offline:
            raise
        session = session.offline()
        hint = next((each.hint for each in error.problems if each.hint), None)
        cause = replace(error.problems[0], hint=hint)
        brief = "no engine answers" if isinstance(error, EngineError) else "the registry cannot be asked"
        unknown = StoreLookup(store="", unknown=brief, cause=cause)
        snapshot = replace(take_snapshot(session), lookup=unknown)
    plan = decide(session, snapshot, append="registry" if session.remote else "engine")
    return replace(plan, notes=(*plan.notes, *newer, *_unwritten_caches(session, plan)))


def _unwritten_caches(session: Session, plan: Plan) -> tuple[Problem, ...]:
    """Return a note about the caches that a push would not write because that does not pay."""
    if session.project.settings.cache != "auto" or session.flags.offline or not session.remote:
        return ()
    builds = [each.image for each in plan.acting("build") if each.append is None]
    if not builds:
        return ()
    from lamina.flow.cache import unwritten_by_a_push

    return unwritten_by_a_push(session, builds)


def decide(session: Session, snapshot: Snapshot, *, append: StoreKind | None = None) -> Plan:
    """Make the plan of a snapshot. Raises ConfigError for functions that could not start.

    append: the store in which builds may be appended to earlier images; None: all need a builder.
    """
    images, externals = snapshot.images, snapshot.externals
    headlines = (_static_headline(session, snapshot.stable), externals.headline)
    make = partial(
        make_plan,
        images,
        snapshot.selected,
        last=read_last_inputs(session.project.state, images.values()),
        force=session.flags.force,
        refresh=session.flags.refresh,
        unlocked=externals.unlocked,
        notes=(
            *preflight.notes(images),
            *preflight.misspelt_bases(images, session.graph.nodes),
            *preflight.unknown_secrets(images, session.project.secret_names),
            *preflight.unused_agents(images, session.project.settings),
            *exposed(images.values()),
            *(_other_platforms(images, externals) if session.policy.builds_here else ()),
            *unpinned(images, local_names(images.values())),
        ),
        headline="\n".join(line for line in headlines if line) or None,
    )

    def found() -> Plan:
        return _with_stores(session, snapshot, make, append)

    def checked() -> list[Problem]:
        return [*_on_lambda(session, images, builds)]

    builds = _builds(make(snapshot.lookup))
    if not builds:
        return found()
    if session.flags.offline:
        plan, problems = found(), checked()
    else:
        from lamina.parallel import both

        plan, problems = both(found, checked)  # one waits for a store, one computes
    if more := [name for name in _builds(plan) if name not in builds]:
        problems += _on_lambda(session, images, more)
    faults = by_certainty(problems)
    ConfigError.check(faults["certain"])
    return replace(plan, notes=(*plan.notes, *faults["likely"]))


def _other_platforms(images: Mapping[str, Image], externals: Externals) -> Iterator[Problem]:
    """Yield notes about images for another platform than this machine's."""
    machine = this_machine()
    yield from preflight.emulated(images, machine, externals.stand_ins)
    yield from preflight.foreign_stand_ins(images, machine, externals.stand_ins)


def _builds(plan: Plan) -> list[str]:
    return [each.image.name for each in plan.acting("build")]


def _with_stores(
    session: Session, snapshot: Snapshot, make: Callable[[StoreLookup], Plan], append: StoreKind | None
) -> Plan:
    """Make the plan, find what can be appended, and plan again without images that have lost layers."""

    def planned(seen: StoreLookup) -> Plan:
        plan = make(seen)
        if append is None or session.flags.offline or not plan.acting("build"):
            return plan
        from lamina.flow.append import plan_appends

        return plan_appends(session, plan, snapshot.images, append)

    seen = snapshot.lookup
    plan = planned(seen)
    examined: set[str] = set()
    while less := _with_lost_layers(session, plan, replace(snapshot, lookup=seen), examined):
        seen = less
        plan = planned(seen)
    return plan


def _on_lambda(session: Session, images: Mapping[str, Image], builds: Sequence[str]) -> Iterator[Problem]:
    """Yield what fails on Lambda in the images that are built, without the rules that are switched off."""
    off = session.project.lint_ignores.value
    builder = None if session.policy.builds_here else OF_THE_IMAGE
    found = check(images, builds, session.checks, lambda: session.facts, off=off, builder=builder)
    runnable = {name: (images[name], each.runnable) for name, each in found.items() if each.runnable}
    if runnable:
        from lamina.decide.unrunnable import UNRUNNABLE, unrunnable

        if UNRUNNABLE.isdisjoint(off):
            yield from unrunnable(runnable)
    for each in found.values():
        yield from (fault.problem for fault in each.faults)


def _with_lost_layers(
    session: Session, plan: Plan, snapshot: Snapshot, examined: set[str]
) -> StoreLookup | None:
    """Return the lookup without images that lost layers; None if none did.

    Examined are the existing bases that a builder or an appended image reads, and the sources of retags.
    examined: names that were examined before; extended by this call.
    """
    parents = {parent for each in plan.acting("build") for parent in _bases_read(each)}
    bases = {name for name in parents & snapshot.images.keys() if plan.action(name) in {None, "skip"}}
    wanted = bases | {each.image.name for each in plan.acting("retag")}
    asked = {name: plan.found[name] for name in wanted - examined if name in plan.found}
    examined |= wanted
    seen = session.image_store.examine(asked) if asked else {}
    lost = {name: each for name, each in seen.items() if each.lost}
    return lacking(snapshot.lookup, lost) if lost else None


def _bases_read(decision: Decision) -> Iterable[str]:
    """Return the bases of a build that its builder reads or, if it is appended, the one with new layers."""
    if decision.append is None:
        return decision.image.node.parents
    return (decision.append.moved,) if decision.append.moved else ()


def _static_headline(session: Session, stable: Mapping[str, FoundImage] | None) -> str | None:
    if stable is None:
        return None
    digests = ", ".join(f"{found.ref} is {found.digest}" for found in stable.values())
    source = session.project.settings.source("static")
    return f"STATIC MODE ({source}): bases are not built; {digests or 'stable has not been looked up'}"
