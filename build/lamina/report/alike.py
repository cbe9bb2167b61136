"""Group messages that say the same about different images, so that one cause is shown once. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from lamina.patterns import regex

_VARIES = regex(r"\([^()]*\)|\d[\d.,]*")
"""The parts of a message that differ between images: lists in brackets, and figures."""
_FEW = 2
"""So many messages of one cause are still shown one by one."""
Item = TypeVar("Item")


def pattern(text: str, name: str = "") -> str:
    """Return a message without its figures, its lists in brackets and the image's name."""
    named = text
    if name and name in text:  # seldom: an expression for each image takes long to compile
        named = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "", text)
    return _VARIES.sub("", named)


def group_alike(items: Iterable[Item], cause: Callable[[Item], object]) -> list[list[Item]]:
    """Group the items of one cause, in the order of each group's first item.

    Args:
        cause: What alike items have in common; None for an item that is always shown by itself.
    """
    groups: dict[object, list[Item]] = {}
    for item in items:
        groups.setdefault(cause(item) or object(), []).append(item)
    shown: list[list[Item]] = []
    for group in groups.values():
        shown += [group] if len(group) > _FEW else ([each] for each in group)
    return shown
