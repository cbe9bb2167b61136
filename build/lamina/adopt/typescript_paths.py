"""Evaluate the paths of a TypeScript program, as far as they are plain. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence

from lamina.adopt.declared import Located
from lamina.adopt.typescript import PLUS, TsCall

_HERE, _FILE = "__dirname", "__filename"
_JOINS = frozenset({"join", "resolve"})
_MOST_NESTED = 20


def path_of(value: object, path: str, constants: Mapping[str, object], depth: int = 0) -> str | None:
    """Return the text of a value, a `Located` if it starts at the program's own path; None if not plain.

    Args:
        path: of the program, relative to the repository.
        constants: of the program, by name.
    """
    if isinstance(value, str) or depth > _MOST_NESTED:
        return value if isinstance(value, str) else None
    if not isinstance(value, TsCall):
        return None
    if not value.args:
        own = {_HERE: posixpath.dirname(path) or ".", _FILE: path}.get(value.name)
        held = constants.get(value.name)
        return Located(own) if own is not None else path_of(held, path, constants, depth + 1)
    texts = [path_of(each, path, constants, depth + 1) for each in value.args]
    known = [each for each in texts if each is not None]
    if len(known) < len(texts):
        return None
    if value.name == PLUS:
        return _as(known[0], "".join(known))
    if value.last == "dirname":
        return _as(known[0], posixpath.join(known[0], "..")) if isinstance(known[0], Located) else None
    return _joined(value.last, known) if value.last in _JOINS else None


def _joined(how: str, parts: Sequence[str]) -> str | None:
    """Join paths as Node does: only ``resolve`` starts again at an absolute one."""
    first, *rest = parts
    if how == "resolve" and any(each.startswith("/") for each in rest):
        return None
    return _as(first, posixpath.join(first, *(each.lstrip("/") for each in rest)))


def _as(first: str, text: str) -> str:
    return Located(text) if isinstance(first, Located) else text
