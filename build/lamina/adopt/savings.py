"""Savings besides smaller contexts: installs that several images repeat. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from lamina.declare.graph import Node

_INSTALL = re.compile(r"(?:\bpip3?|\buv pip)\s+install\s+(.+?)(?:&&|;|\|\||$)", re.DOTALL)
_WITH_VALUE = frozenset(
    {
        *("-r", "--requirement", "-c", "--constraint", "-t", "--target", "--prefix", "--root", "--python"),
        *("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--platform", "--python-version"),
        *("--link-mode", "--python-platform"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """An install that several images repeat.

    Attributes:
        package: as written.
        images: name -> ``file:line``.
    """

    package: str
    images: dict[str, str]


def repeated_installs(nodes: Iterable[Node]) -> tuple[Repeated, ...]:
    """Return the packages that more than one image installs, written the same way.

    Requirements files are ignored: the same name does not mean the same content.
    """
    found: dict[str, dict[str, str]] = {}
    for node in nodes:
        for stage in node.recipe.stages:
            for each in stage.stage.instructions:
                for package in _packages(" ".join(each.words)) if each.name == "RUN" else ():
                    where = node.recipe.dockerfile.where(each.line)
                    found.setdefault(package, {}).setdefault(node.name, where)
    return tuple(
        Repeated(package=package, images=images)
        for package, images in sorted(found.items())
        if len(images) > 1
    )


def _packages(command: str) -> Iterator[str]:
    for words in _INSTALL.findall(command):
        for before, word in pairwise(["", *words.split()]):
            name = word.strip("\"'")
            if before not in _WITH_VALUE and name[:1].isalnum() | name.startswith("/") and "$" not in name:
                yield name
