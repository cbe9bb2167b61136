"""Go from declaration to plan: pin, identify, look up, decide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

from lamina.decide import preflight
from lamina.decide.exposure import copied, exposed
from lamina.decide.plan import FoundImage, Plan, StoreLookup, lacking, make_plan
from lamina.decide.requirements import unpinned
from lamina.decide.unrunnable import UNRUNNABLE, by_certainty, unrunnable
from lamina.declare.machine import this_machine
from lamina.errors import ConfigError, EngineError, Problem, RegistryError
from lamina.execute.externals import Externals
from lamina.execute.image_store import ImageStore
from lamina.flow.append import plan_appends
from lamina.flow.lock import newer_upstream, read_pins
from lamina.flow.session import Session
from lamina.identify.image import STABLE, Image, identify
from lamina.identify.runnable import check_runnable, local_names
from lamina.masks import read_secret
from lamina.refs import Reference
from lamina.report.record import read_last_inputs, read_manifest


def select(session: Session, kind: str | None = None) -> tuple[str, ...]:
    """Return the names of the selected images, bases first. In static mode only Lambda images count."""
    return session.graph.select(session.flags.images, kind="lambda" if session.static else kind)


def make_images(
    session: Session,
    names: Iterable[str],
    outside: Externals,
    stable: Mapping[str, FoundImage] | None = None,
) -> Mapping[str, Image]:
    """Read and fingerprint the images and their bases. Raises ConfigError with all faults found.

    stable: the bases in static mode; see `find_stable`.
    """
    images, unread = identify(
        session.project,
        session.graph,
        names,
        prefix=session.prefix,
        bases=outside.identities,
        stable=None if stable is None else {base: found.digest for base, found in stable.items()},
        files=session.stat_cache.files,
    )
    session.stat_cache.save()
    held = [secret for secret in session.project.secrets if read_secret(secret.file)]
    ConfigError.check((*unread, *preflight.faults(images), *copied(images.values(), held)))
    return images


def find_stable(session: Session, selected: Iterable[str]) -> Mapping[str, FoundImage] | None:
    """Return the image under ``stable`` for each base of the selected images; None if not in static mode.

    Offline the result is empty. Raises RegistryError for a base without ``stable``, or with lost blobs.
    """
    if not session.static:
        return None
    if session.flags.offline:
        return {}
    bases = {parent for name in selected for parent in session.graph.nodes[name].parents}
    store = session.image_store
    refs = {base: stable_ref(session, base) for base in sorted(bases)}
    existing = store.find(refs.values())
    RegistryError.check(
        Problem(
            what=f"{ref} is not in {store.name}, and static mode builds on it",
            where=session.project.settings.source("static"),
            hint="without static mode: invoke build-base, then invoke stable",
        )
        for ref in refs.values()
        if ref not in existing
    )
    found = store.examine({base: existing[ref] for base, ref in refs.items()})
    RegistryError.check(
        Problem(
            what=f"{each.ref} has lost {each.lacks}, and static mode builds on it",
            where=store.name,
            hint="without static mode: invoke build-base --refresh, then invoke stable",
        )
        for each in found.values()
        if each.lost
    )
    return found


def look_up(
    session: Session,
    images: Mapping[str, Image],
    stable: Mapping[str, FoundImage] | None = None,
    destination: ImageStore | None = None,
) -> StoreLookup:
    """Look up which of the images exist. Raises RegistryError or EngineError if the store does not answer.

    destination: the store that images go to; only an image in it can be retagged.
    """
    if session.flags.offline:
        return StoreLookup(store="", unknown="--offline")
    store = session.image_store
    existing = store.find([image.ref for image in images.values()])
    found = {name: existing[image.ref] for name, image in images.items() if image.ref in existing}
    missing = {
        name: image for name, image in images.items() if name not in found or not found[name].is_image(image)
    }
    return StoreLookup(
        store=store.name,
        found={**found, **(stable or {})},
        elsewhere=_elsewhere(session, missing, destination or store),
    )


def _elsewhere(session: Session, images: Mapping[str, Image], store: ImageStore) -> Mapping[str, FoundImage]:
    """Find the same content under another name, as after promoting a stack.

    The names come from the manifest of earlier runs; only images that still exist are returned.
    """
    known = {each["image"]: each for each in read_manifest(session.project.state) if each.get("ref")}
    refs = {
        name: Reference.parse(known[name]["ref"])
        for name, image in images.items()
        if name in known and known[name]["fingerprint"] == image.fingerprint
    }
    asked = {name: ref for name, ref in refs.items() if ref.host == images[name].repository.host}
    existing = store.find(asked.values()) if asked else {}
    found = {name: existing[ref] for name, ref in asked.items() if ref in existing}
    return {name: each for name, each in found.items() if each.is_image(images[name])}


def stable_ref(session: Session, base: str) -> Reference:
    """Return a base image's reference with its moving tag ``stable``."""
    return Reference.parse(session.prefix + session.project.repository(base)).with_tag(STABLE)


def decide(
    session: Session,
    selected: Iterable[str],
    images: Mapping[str, Image],
    outside: Externals,
    seen: StoreLookup,
    stable: Mapping[str, FoundImage] | None = None,
) -> Plan:
    """Make the plan from the images and the lookup. Raises ConfigError for functions that could not start."""
    headlines = (_static_headline(session, stable), outside.headline)
    planned = partial(
        make_plan,
        images,
        selected,
        last=read_last_inputs(session.project.state, images.values()),
        force=session.flags.force,
        refresh=session.flags.refresh,
        unlocked=outside.unlocked,
        notes=(
            *preflight.notes(images),
            *preflight.misspelt_bases(images, session.graph.nodes),
            *preflight.unknown_secrets(images, session.project.secret_names),
            *exposed(images.values()),
            *(preflight.emulated(images, this_machine()) if session.builds_here else ()),
            *unpinned(images, local_names(images.values())),
        ),
        headline="\n".join(line for line in headlines if line) or None,
    )
    plan = planned(seen)
    examined: set[str] = set()
    while less := _with_lost_layers(session, plan, images, seen, examined):
        seen = less
        plan = planned(seen)
    if not UNRUNNABLE.isdisjoint(session.project.lint_ignores.value):
        return plan
    builds = [decision.image.name for decision in plan.acting("build")]
    found = check_runnable(images, builds, session.facts)
    session.facts.save()
    faults = by_certainty(unrunnable({name: (images[name], found[name]) for name in builds}))
    ConfigError.check(faults["certain"])
    return replace(plan, notes=(*plan.notes, *faults["likely"]))


def _with_lost_layers(
    session: Session, plan: Plan, images: Mapping[str, Image], seen: StoreLookup, examined: set[str]
) -> StoreLookup | None:
    """Return the lookup without images that lost layers; None if none did.

    Examined are the existing bases of builds and the sources of retags.
    examined: names that were examined before; extended by this call.
    """
    parents = {parent for each in plan.acting("build") for parent in each.image.node.parents}
    bases = {name for name in parents & images.keys() if plan.action(name) in {None, "skip"}}
    wanted = bases | {each.image.name for each in plan.acting("retag")}
    asked = {name: plan.found[name] for name in wanted - examined if name in plan.found}
    examined |= wanted
    lost = (
        {name: each for name, each in session.image_store.examine(asked).items() if each.lost}
        if asked
        else {}
    )
    return lacking(seen, lost) if lost else None


def make_plan_only(session: Session) -> Plan:
    """Make the plan as a dry run. Start no engine; if the store does not answer, plan offline and say why."""
    selected = select(session)
    outside = read_pins(session, selected)
    newer = tuple(newer_upstream(session, selected)) if session.flags.upstream else ()
    session.starts_engine = False
    try:
        stable = find_stable(session, selected)
        images = make_images(session, selected, outside, stable)
        seen = look_up(session, images, stable)
    except (EngineError, RegistryError) as error:
        if session.flags.offline:
            raise
        session.go_offline()
        stable = find_stable(session, selected)
        images = make_images(session, selected, outside, stable)
        seen = StoreLookup(store="", unknown=error.problems[0].what)
    plan = plan_appends(session, decide(session, selected, images, outside, seen, stable), images)
    return replace(plan, notes=(*plan.notes, *newer))


def _static_headline(session: Session, stable: Mapping[str, FoundImage] | None) -> str | None:
    if stable is None:
        return None
    digests = ", ".join(f"{found.ref} is {found.digest}" for found in stable.values())
    source = session.project.settings.source("static")
    return f"STATIC MODE ({source}): bases are not built; {digests or 'stable has not been looked up'}"
