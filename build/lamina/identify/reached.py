"""The modules that the functions of an image import when they start, and how certain each import is.

Only modules with traits, and those that lead to them, are parsed: see `lamina.identify.traits`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lamina.identify.imports import ImportWalk, importers
from lamina.identify.modules import Import, Module
from lamina.identify.reach import ModuleNode


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachedModule:
    """A module of the image that may be imported.

    Attributes:
        origin: Its file in the repository.
        imports: The dotted names that it may import absolutely.
        module: None if nothing of it matters.
        certain: Whether starting the function always imports it.
    """

    origin: str
    imports: frozenset[str]
    module: Module | None
    certain: bool

    @property
    def certain_imports(self) -> tuple[Import, ...]:
        """The absolute imports that importing the module always executes."""
        needs = self.module.needs if self.module is not None else ()
        return tuple(each for each in needs if isinstance(each, Import) and not each.level)


def reached(
    walk: ImportWalk, commands: Iterable[tuple[str, ...]], *, overridden: bool
) -> Mapping[str, ReachedModule]:
    """Return the modules that functions may import, by image path.

    Args:
        commands: Those of the functions.
        overridden: Whether functions may use other commands; then nothing is certain.
    """
    followed: dict[ModuleNode, None] = {}
    parsed: set[str] = set()
    starts: list[str] = []
    for command in commands:
        chain, found = walk.reachable(command)
        notable = [node for node in found if node.notable]
        followed.update(dict.fromkeys(found))
        parsed.update(chain, (node.place for node in importers(found, notable)))
        starts += chain
    sure = _certain(walk, starts, parsed) if not overridden else set()
    return {
        node.place: ReachedModule(
            origin=node.origin,
            imports=frozenset(each.module for listed in node.absolute.values() for each in listed),
            module=walk.resolver.module(node.place) if node.place in parsed else None,
            certain=node.place in sure,
        )
        for node in followed
    }


def _certain(walk: ImportWalk, stack: list[str], parsed: set[str]) -> set[str]:
    """Return the modules that unconditional imports reach from the given ones, by way of parsed ones."""
    sure: set[str] = set()
    while stack:
        place = stack.pop()
        if place in sure:
            continue
        sure.add(place)
        module = walk.resolver.module(place) if place in parsed else None
        for need in module.needs if module is not None else ():
            if isinstance(need, Import):
                stack += walk.resolver.look(place, need).places
    return sure
