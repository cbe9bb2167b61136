"""What a repository would gain: smaller contexts, and installs that several images repeat. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lamina.declare.graph import Node

_INSTALL = re.compile(r"(?:\bpip3?|\buv pip)\s+install\s+(.+?)(?:&&|;|\|\||$)", re.DOTALL)
_MOUNT = re.compile(r"--mount=\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """An install that several images carry out. what: what is installed; images: name -> ``file:line``."""

    what: str
    images: dict[str, str]


def repeated_installs(nodes: Iterable[Node]) -> tuple[Repeated, ...]:
    """The packages and requirement files that more than one image installs by the same words."""
    found: dict[str, dict[str, str]] = {}
    for node in nodes:
        for stage in node.recipe.stages:
            for each in stage.stage.instructions:
                for command in _INSTALL.findall(" ".join(each.words)) if each.name == "RUN" else ():
                    for word in command.split():
                        if not word.startswith("-"):
                            where = node.recipe.dockerfile.where(each.line)
                            found.setdefault(word.strip("\"'"), {}).setdefault(node.name, where)
    return tuple(
        Repeated(what=what, images=images) for what, images in sorted(found.items()) if len(images) > 1
    )
