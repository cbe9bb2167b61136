"""From declaration to plan: pin, identify, look, decide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lamina.decide import preflight
from lamina.decide.plan import Lookup, Plan, make_plan
from lamina.declare.config import native_platform
from lamina.declare.lockfile import LOCK_FILE, read_lock
from lamina.errors import ConfigError, EngineError, Problem, RegistryError
from lamina.execute.engine import find_engine
from lamina.execute.externals import Externals, make_stand_in, pin, read_externals
from lamina.files import write_atomic
from lamina.identify.image import STABLE, Image, identify
from lamina.refs import Reference
from lamina.report.record import read_bills
from lamina.workflow.workspace import Workspace


def select(workspace: Workspace, kind: str | None = None) -> tuple[str, ...]:
    """The images that a command is about, bases first. In static mode only Lambda images are."""
    return workspace.graph.select(workspace.flags.images, kind="lambda" if workspace.static else kind)


def read_pins(workspace: Workspace, names: Iterable[str]) -> Externals:
    """What the images stand on from outside the project, as pinned now."""
    nodes = [workspace.graph.nodes[name] for name in workspace.graph.with_ancestors(names)]
    wanted = [external.name for node in nodes for external in node.externals]
    architecture = native_platform().removeprefix("linux/")
    return read_externals(wanted, read_lock(workspace.project.root), architecture)


def write_pins(workspace: Workspace, names: Iterable[str]) -> Externals:
    """Pin what is not pinned yet in ``lamina.lock``; a runtime that is out of reach gets a stand-in."""
    chosen = tuple(names)
    before = pinned = read_lock(workspace.project.root)
    for name in read_pins(workspace, chosen).unlocked:
        try:
            pinned = pinned.with_pin(pin(name, workspace.upstream(Reference.parse(name)).manifest))
        except RegistryError as error:
            make_stand_in(name, workspace.runner, workspace.engine, error, workspace.screen.say)
    if pinned != before:
        write_atomic(workspace.project.root / LOCK_FILE, pinned.render())
        workspace.screen.say(f"{LOCK_FILE}: pinned {', '.join(set(pinned.pins) - set(before.pins))}")
    return read_pins(workspace, chosen)


def make_images(workspace: Workspace, names: Iterable[str], outside: Externals) -> Mapping[str, Image]:
    """Read and fingerprint the images and what they stand on. Raises ConfigError with all faults found."""
    images = identify(
        workspace.project,
        workspace.graph,
        names,
        prefix=workspace.prefix,
        bases=outside.identities,
        static=workspace.static,
    )
    ConfigError.check(preflight.faults(images))
    return images


def look(workspace: Workspace, images: Mapping[str, Image]) -> Lookup:
    """What exists of the images and, in static mode, of their bases as ``stable``. Raises RegistryError."""
    if workspace.flags.offline:
        return Lookup(place="", unknown="--offline")
    place = workspace.place
    wanted = {name: image.ref for name, image in images.items()}
    bases = (
        {parent for image in images.values() for parent in image.node.parents} if workspace.static else set()
    )
    wanted |= {base: stable_ref(workspace, base) for base in bases}
    there = place.look(wanted.values())
    found = {name: there[ref] for name, ref in wanted.items() if ref in there}
    RegistryError.check(
        Problem(
            what=f"{wanted[base]} is not in {place.name}, and static mode builds on it",
            where=workspace.project.settings["static"].source,
            hint="without static mode: invoke build-base, then invoke stable",
        )
        for base in sorted(bases - set(found))
    )
    return Lookup(place=place.name, found=found)


def stable_ref(workspace: Workspace, base: str) -> Reference:
    """A base image under its moving tag."""
    return Reference.parse(workspace.prefix + workspace.project.repository(base)).with_tag(STABLE)


def decide(
    workspace: Workspace,
    selected: Iterable[str],
    images: Mapping[str, Image],
    outside: Externals,
    seen: Lookup,
) -> Plan:
    """The plan out of what was read and seen."""
    headlines = (_static_headline(workspace, images, seen), outside.headline)
    return make_plan(
        images,
        selected,
        seen,
        last=read_bills(workspace.project.state, images.values()),
        force=workspace.flags.force,
        unlocked=outside.unlocked,
        notes=tuple(preflight.notes(images)),
        headline="\n".join(line for line in headlines if line) or None,
    )


def make_plan_only(workspace: Workspace) -> Plan:
    """The plan as a dry run: nothing is started, and where nobody answers it says so and goes on."""
    selected = select(workspace)
    outside = read_pins(workspace, selected)
    unknown: str | None = None
    try:
        if not workspace.remote and not workspace.flags.offline:
            workspace.engine = find_engine(workspace.runner, start=False)
        images = make_images(workspace, selected, outside)
        seen = look(workspace, images)
    except (EngineError, RegistryError) as error:
        unknown = error.problems[0].what
    if unknown is not None:
        workspace.go_offline()
        images = make_images(workspace, selected, outside)
        seen = Lookup(place="", unknown=unknown)
    return decide(workspace, selected, images, outside, seen)


def _static_headline(workspace: Workspace, images: Mapping[str, Image], seen: Lookup) -> str | None:
    if not workspace.static:
        return None
    bases = sorted({parent for image in images.values() for parent in image.node.parents})
    told = [f"{seen.found[base].ref} is {seen.found[base].digest}" for base in bases if base in seen.found]
    source = workspace.project.settings["static"].source
    return f"STATIC MODE ({source}): bases are not built; {', '.join(told) or f'unknown: {seen.unknown}'}"
