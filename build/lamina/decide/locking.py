"""Decide with a lock: which images rebuild when pins move, and which need a pin to be built. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from lamina.declare.graph import Graph, Node
from lamina.declare.lockfile import Lock, Pin
from lamina.errors import Problem
from lamina.values import dataclass

_SHORT = len("sha256:") + 12
_LOCK = "invoke lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class PinMove:
    """The change of one pin between two locks. None: it is not in that lock.

    rebuilds: the images whose content changes, with the images built from them, bases first.
    """

    name: str
    old: Pin | None
    new: Pin | None
    rebuilds: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.old == self.new:
            return f"{_short(self.old)} unchanged" if self.old else "not pinned"
        return f"{_short(self.old)} -> {_short(self.new)}"


def moves(graph: Graph, names: Iterable[str], before: Lock, after: Lock) -> tuple[PinMove, ...]:
    """Return how the pin of each name changes, in the order of the names.

    An image rebuilds only if the digest of its own platform changes, not for another platform of an index.
    """
    return tuple(
        PinMove(
            name=name,
            old=before.pins.get(name),
            new=after.pins.get(name),
            rebuilds=_rebuilds(graph, name, before.pins.get(name), after.pins.get(name)),
        )
        for name in names
    )


def _rebuilds(graph: Graph, name: str, old: Pin | None, new: Pin | None) -> tuple[str, ...]:
    moved: set[str] = set()
    for node in graph.nodes.values():  # bases first
        own = (each.platform for each in node.externals if each.name == name)
        stands = any(_served(old, platform) != _served(new, platform) for platform in own)
        if stands or moved.intersection(node.parents):
            moved.add(node.name)
    return tuple(each for each in graph.nodes if each in moved)


def _served(pin: Pin | None, platform: str | None) -> str | None:
    return pin.of(platform) if pin else None


def unused(graph: Graph, lock: Lock) -> tuple[str, ...]:
    """Return the pins that no Dockerfile of the project uses any more."""
    used = {external.name for node in graph.nodes.values() for external in node.externals}
    return tuple(name for name in lock.pins if name not in used)


def unlocked(nodes: Iterable[Node], names: Collection[str]) -> Iterator[Problem]:
    """Yield a problem for each Dockerfile line that uses one of the names, which the lock does not pin."""
    for node in nodes:
        for external in (each for stage in node.recipe.stages for each in stage.externals):
            if external.name in names:
                yield Problem(
                    what=f"{external.name} is not in lamina.lock, and {node.name} is built on it",
                    where=node.recipe.dockerfile.where(external.line),
                    hint=_LOCK,
                )


def newer(found: Iterable[PinMove]) -> Iterator[Problem]:
    """Yield a note for each pin whose name now resolves to a different digest."""
    for move in found:
        if move.rebuilds and move.old and move.new:
            yield Problem(what=f"newer runtime available: {move.name} {move}", hint=f"{_LOCK} --refresh")


def _short(pin: Pin | None) -> str:
    return pin.digest[:_SHORT] if pin else "none"
