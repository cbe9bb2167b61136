"""Read, pin and refresh the digests of a project's external images."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from lamina.declare.graph import Node
from lamina.declare.lockfile import LOCK_FILE, Lock, Pin, read_lock
from lamina.declare.machine import native_platform
from lamina.errors import ConfigError, EngineError, Problem, RegistryError
from lamina.execute.externals import (
    Externals,
    find_stand_in,
    make_stand_in,
    pin,
    read_externals,
    runtime_version,
)
from lamina.files import write_atomic
from lamina.flow.session import Session
from lamina.refs import Reference
from lamina.values import dataclass

if TYPE_CHECKING:
    from lamina.decide.locking import PinMove


def read_pins(session: Session, names: Iterable[str]) -> Externals:
    """Return the external images below the named images, as pinned now."""
    return read_externals(_nodes(session, names), _lock(session), session.provider, _architecture())


def pin_for_build(session: Session, names: Iterable[str]) -> Externals:
    """Return the same before a build: write the first lock, and make a stand-in for an unreachable runtime.

    The first lock covers the whole project; external images that the named images do not need may fail.

    Raises:
        ConfigError: there is a lock, and it lacks an image that these need.
        RegistryError: a needed image cannot be resolved and has no stand-in.
    """
    chosen = tuple(names)
    outside = read_pins(session, chosen)
    nodes = _nodes(session, chosen)
    if session.static:  # the bases are not built, so their external images do not matter
        nodes = tuple(node for node in nodes if node.name in chosen)
    used = {external.name for node in nodes for external in node.externals}
    lacking = [name for name in outside.unlocked if name in used]
    if not lacking:
        return outside
    if read_lock(session.project.root) is not None:
        from lamina.decide.locking import unlocked

        ConfigError.check(unlocked(nodes, lacking))
    answer = _ask(session, read_pins(session, session.graph.nodes).unlocked)
    needed = answer.about(lacking)
    # A stand-in exists only in this machine's engine.
    places = _places(nodes)
    RegistryError.check(needed.problems(places, () if session.policy.builds_here else needed.silent))
    _stand_in(session, needed, places)
    if answer.pins:
        write_lock(session, _with(Lock(), answer))
        session.screen.say(f"{LOCK_FILE}: pinned {', '.join(answer.pins)}; commit it")
    return read_pins(session, chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relock:
    """A lock that is about to be written. moves: how each pin of the selected images changes."""

    before: Lock
    after: Lock
    moves: tuple[PinMove, ...]
    notes: tuple[Problem, ...]
    headline: str | None
    """The first line of every report: the stand-in runtime."""


def make_lock(session: Session, *, refresh: bool, dry_run: bool) -> Relock:
    """Ask the registries for the digests of unpinned names; with ``refresh``, of all names.

    Does not write the lock.
    A refresh of all images drops pins that no Dockerfile uses. Raises RegistryError with every name that
    cannot be resolved.
    """
    from lamina.decide.locking import moves, unused

    graph, before = session.graph, _lock(session)
    nodes = _nodes(session, graph.select(session.flags.images))
    names = sorted({each.name for node in nodes for each in node.externals if not _has_digest(each.name)})
    wanted = [name for name in names if refresh or name not in before.pins]
    answer = _ask(session, wanted)
    places = _places(nodes)
    RegistryError.check(answer.problems(places, before.pins))
    if not dry_run:
        _stand_in(session, answer, places)
    dropped = unused(graph, before) if refresh and not session.flags.images else ()
    after = _with(before, answer).without(dropped)
    notes = [
        *(
            Problem(what=f"{name} stays a stand-in: {error.problems[0].what}")
            for name, error in answer.silent.items()
        ),
        *(Problem(what=f"{name} is dropped: no Dockerfile uses it any more") for name in dropped),
    ]
    return Relock(
        before=before,
        after=after,
        moves=moves(graph, (*names, *dropped), before, after),
        notes=tuple(notes),
        headline=read_externals(nodes, after, session.provider, _architecture()).headline,
    )


def write_lock(session: Session, lock: Lock) -> None:
    """Write ``lamina.lock``."""
    write_atomic(session.project.root / LOCK_FILE, lock.render())


def newer_upstream(session: Session, names: Iterable[str]) -> Iterator[Problem]:
    """Yield notes about newer digests of pinned names, and about names that cannot be checked."""
    lock = _lock(session)
    nodes = _nodes(session, names)
    pinned = sorted({each.name for node in nodes for each in node.externals if each.name in lock.pins})
    if session.flags.offline:
        yield Problem(what="no registry was asked for newer runtimes: --offline")
        return
    answer = _ask(session, pinned)
    from lamina.decide.locking import moves, newer

    yield from newer(moves(session.graph, answer.pins, lock, _with(lock, answer)))
    for name, error in answer.silent.items():
        first = error.problems[0]
        yield Problem(
            what=f"whether there is a newer {name} is unknown: {first.what}",
            where=first.where,
            hint=first.hint,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """The answers of registries. pins: name -> its current digests. silent: name -> why they are unknown."""

    pins: Mapping[str, Pin]
    silent: Mapping[str, RegistryError]

    def about(self, names: Collection[str]) -> _Answer:
        """Return the answer restricted to these names."""
        return _Answer(
            pins={name: each for name, each in self.pins.items() if name in names},
            silent={name: error for name, error in self.silent.items() if name in names},
        )

    def problems(self, places: Mapping[str, str], pinned: Collection[str]) -> Iterator[Problem]:
        """Yield the images that no registry serves and no stand-in replaces. Pinned ones are never replaced.

        places: see `_places`.
        """
        for name, error in self.silent.items():
            if name in pinned or runtime_version(name) is None:
                for each in error.problems:
                    text = f"{each.where}: {each.what}" if each.where else each.what
                    yield replace(each, what=f"{name}: {text}", where=places.get(name))


def _ask(session: Session, names: Iterable[str]) -> _Answer:
    from lamina.flow.pull_through import read_through

    pins: dict[str, Pin] = {}
    silent: dict[str, RegistryError] = {}
    for name in names:
        try:
            pins[name] = pin(name, partial(read_through, session))
        except RegistryError as error:
            silent[name] = error
    return _Answer(pins=pins, silent=silent)


def _places(nodes: Iterable[Node]) -> Mapping[str, str]:
    """Return external image -> its first use, as ``Dockerfile:line``."""
    places: dict[str, str] = {}
    for node in nodes:
        for external in (each for stage in node.recipe.stages for each in stage.externals):
            places.setdefault(external.name, node.recipe.dockerfile.where(external.line))
    return places


def _stand_in(session: Session, answer: _Answer, places: Mapping[str, str]) -> None:
    """Make the stand-ins that are missing, after a check that all of them can be made."""
    missing = {
        name: error
        for name, error in answer.silent.items()
        if find_stand_in(name, session.provider, _architecture()) is None
    }
    EngineError.check(_refusals(session, missing, places))
    for name, error in missing.items():
        try:
            make_stand_in(name, session.provider, session.runner, session.engine, error, session.screen.say)
        except EngineError as refused:
            raise EngineError(*_at(refused.problems, places.get(name))) from None


def _refusals(session: Session, names: Iterable[str], places: Mapping[str, str]) -> Iterator[Problem]:
    """Yield why some of the stand-ins cannot be made on this machine."""
    for name in names:
        version = runtime_version(name)
        try:
            if version is not None:
                session.provider.check_stand_in(version, _architecture())
        except EngineError as refused:
            yield from _at(refused.problems, places.get(name))


def _at(problems: Iterable[Problem], where: str | None) -> Iterator[Problem]:
    return (replace(each, where=each.where or where) for each in problems)


def _with(lock: Lock, answer: _Answer) -> Lock:
    for each in answer.pins.values():
        lock = lock.with_pin(each)
    return lock


def _nodes(session: Session, names: Iterable[str]) -> tuple[Node, ...]:
    """Return the nodes of the named images and their bases."""
    return tuple(session.graph.nodes[name] for name in session.graph.with_ancestors(names))


def _lock(session: Session) -> Lock:
    return read_lock(session.project.root) or Lock()


def _has_digest(name: str) -> bool:
    return Reference.parse(name).digest is not None


def _architecture() -> str:
    return native_platform().removeprefix("linux/")
