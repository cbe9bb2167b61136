"""The local projects and files that a file of requirements names: ``-e ../packages/x``."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path

from lamina.errors import ConfigError
from lamina.values import dataclass

_INCLUDE = re.compile(r"(?:-r|--requirement|-c|--constraint)(?:\s+|=|(?<=-[rc]))(\S+)")
_EDITABLE = re.compile(r"(?:-e|--editable)(?:\s+|=)(\S+)")
_REFERENCE = re.compile(r"[\w.-]+(?:\[[^\]]*\])?\s*@\s*(?:file:(?://)?)?(\.{1,2}/\S*|[^\s:]+/\S*)")
_PATH = re.compile(r"(?:file:)?(\.{1,2}(?:/\S*)?|[\w.-]+/\S*)")
_EXTRAS = re.compile(r"\[[^\]]*\]$")
_MOST_FILES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A file of requirements. Paths are relative to the folder that was searched.

    Attributes:
        files: it, the files that it includes, and archives that it names.
        folders: the local projects that it names.
    """

    files: tuple[str, ...]
    folders: tuple[str, ...]


def is_listing(name: str) -> bool:
    """Whether a name in a mark is a file of requirements, and not a member of a workspace."""
    return name.endswith((".txt", ".in"))


def read_listing(root: Path, path: str, where: str) -> Listing:
    """Read a file of requirements and those that it includes. Raises ConfigError.

    A path in it is relative to the file, as for uv, or to the root, as for pip that runs there.

    Args:
        root: the folder that all paths are below.
        path: of the file, relative to the root.
        where: the place that names the file, for messages.
    """
    files: dict[str, None] = {}
    folders: dict[str, None] = {}
    waiting = [posixpath.normpath(path)]
    while waiting and len(files) < _MOST_FILES:
        current = waiting.pop(0)
        if current in files:
            continue
        files[current] = None
        try:
            text = (root / current).read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError):
            raise ConfigError.of(
                f"{current} cannot be read as a file of requirements",
                where=where,
                allowed="a file of the context, by its path from there",
            ) from None
        for line in text.splitlines():
            plain = re.split(r"\s#|\s;|;\s", line.strip(), maxsplit=1)[0].strip()
            included = _INCLUDE.fullmatch(plain)
            if included and "://" not in plain:
                waiting.append(_place(root, current, included[1], f"{current}: {plain}"))
            elif named := _named(plain):
                place = _place(root, current, named, f"{current}: {plain}")
                (folders if (root / place).is_dir() else files)[place] = None
    return Listing(files=tuple(files), folders=tuple(sorted(folders)))


def _named(line: str) -> str | None:
    """Return the path that a line of requirements names; None for a requirement from elsewhere."""
    if not line or line.startswith("#") or "://" in line.replace("file://", "", 1):
        return None
    found = _EDITABLE.fullmatch(line) or _REFERENCE.fullmatch(line) or _PATH.fullmatch(line)
    return _EXTRAS.sub("", found[1]) if found else None


def _place(root: Path, file: str, written: str, where: str) -> str:
    beside = posixpath.normpath(posixpath.join(posixpath.dirname(file), written))
    for place in (beside, posixpath.normpath(written)):
        if not place.startswith("..") and not posixpath.isabs(place) and os.path.lexists(root / place):
            return place
    raise ConfigError.of(
        f"{written} is not in the context", where=where, hint="name it relative to this file"
    )
