"""The modules that the functions of an image import when they start, and how certain each import is.

Only modules with traits, and those that lead to them, are parsed: see `lamina.identify.traits`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import replace

from lamina.identify.imports import ImportWalk, importers
from lamina.identify.modules import Import
from lamina.identify.reach import Link, ModuleNode, ReachedModule

Parse = Callable[..., Mapping[str, ReachedModule]]
"""`reached` of an image, with some modules parsed and those that lead to them."""


def reached(
    walk: ImportWalk, commands: Iterable[tuple[str, ...]], wanted: Container[str] = (), *, overridden: bool
) -> Mapping[str, ReachedModule]:
    """Return the modules that functions may import, by image path.

    Args:
        commands: Those of the functions.
        wanted: Further modules to parse, with those that lead to them.
        overridden: Whether functions may use other commands; then nothing is certain.
    """
    followed: dict[ModuleNode, Link] = {}
    parsed: set[str] = set()
    starts: list[str] = []
    for command in commands:
        chain, reach = walk.reachable(command)
        notable = [node for node in reach if node.notable or node.place in wanted]
        followed.update(reach)
        parsed.update(chain, (node.place for node in importers(reach, notable)))
        starts += chain
    sure = _certain(walk, starts, parsed) if not overridden else set()
    found = {node.place: node.unparsed for node in followed}
    for node in followed:
        if node.place in parsed or node.place in sure:
            module = walk.resolver.module(node.place) if node.place in parsed else None
            found[node.place] = replace(node.unparsed, module=module, certain=node.place in sure)
    return found


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
