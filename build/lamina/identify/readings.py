"""What checks of images read from the disk besides the files of contexts: each asked once, and kept.

If all of it is still so for a later command, and the images are the same, the checks find the same.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

_PYPROJECT = "pyproject.toml"
_MOST = 1 << 24
"""Bytes of a file that a rule reads."""
_NO_PACKAGES = frozenset({"tests", "test", "docs", "scripts", "examples", "src"})

Answers = dict[str, dict[str, str | bool | None]]
"""Question -> path -> answer, or the digest of a long one."""


class ProjectFile(NamedTuple):
    """A ``pyproject.toml``, by its absolute path. packages: import name -> its ``__init__.py``."""

    path: str
    content: bytes
    packages: tuple[tuple[str, str], ...]


class Readings:
    """The disk, read once for each question."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], object] = {}
        self._sources: dict[str, bytes | None] = {}

    def is_file(self, path: str) -> bool:
        """Whether a path is a file, or a link to one."""
        return self._ask("file", path) is True

    def exists(self, path: str) -> bool:
        """Whether a path leads to anything."""
        return self._ask("any", path) is True

    def target(self, path: str) -> str | None:
        """Return the target of a link; None if it is none."""
        found = self._ask("link", path)
        return found if isinstance(found, str) else None

    def is_empty(self, folder: str) -> bool:
        """Whether a path is a folder with nothing in it."""
        return self._ask("empty", folder) is True

    def content(self, path: str) -> bytes | None:
        """Return the content of a file; None if it cannot be read."""
        found = self._ask("content", path)
        return found if isinstance(found, bytes) else None

    def beginning(self, path: str) -> bytes | None:
        """Return the first 16 MB of a file; None if it cannot be read."""
        found = self._ask("beginning", path)
        return found if isinstance(found, bytes) else None

    def source(self, path: str) -> bytes | None:
        """Return the content of a file of a context, which is not noted: images are known by their files."""
        if path not in self._sources:
            self._sources[path] = _content(path)
        return self._sources[path]

    def sources(self, folder: str) -> tuple[str, ...]:
        """Return the Python files below a folder."""
        found = self._ask("sources", folder)
        return found if isinstance(found, tuple) else ()

    def projects(self, root: str) -> tuple[ProjectFile, ...]:
        """Return the project files in subfolders of the repository, one or two levels down."""
        found = self._ask("projects", root)
        return found if isinstance(found, tuple) else ()

    def answers(self) -> Answers:
        """Return what was read."""
        found: Answers = {}
        for (question, path), answer in self._known.items():
            found.setdefault(question, {})[path] = _short(answer)
        return found

    def _ask(self, question: str, path: str) -> object:
        key = (question, path)
        if key not in self._known:
            self._known[key] = _QUESTIONS[question](path)
        return self._known[key]


def still_so(answers: Answers) -> bool:
    """Whether the disk gives the same answers now."""
    return all(
        _short(_QUESTIONS[question](path)) == answer
        for question, given in answers.items()
        for path, answer in given.items()
    )


def _short(answer: object) -> str | bool | None:
    if answer is None or isinstance(answer, bool):
        return answer
    return hashlib.sha256(repr(answer).encode("utf-8", "surrogateescape")).hexdigest()


def _target(path: str) -> str | None:
    try:
        return os.readlink(path)  # noqa: PTH115 - as stored
    except OSError:
        return None


def _is_empty(folder: str) -> bool:
    try:
        return not os.listdir(folder)  # noqa: PTH208
    except OSError:
        return False


def _content(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except OSError:
        return None


def _beginning(path: str) -> bytes | None:
    try:
        with Path(path).open("rb") as source:
            return source.read(_MOST)
    except OSError:
        return None


def _sources(folder: str) -> tuple[str, ...]:
    return tuple(sorted(str(each) for each in Path(folder).rglob("*.py")))


def _projects(root: str) -> tuple[ProjectFile, ...]:
    """Return the project files of folders, then those of their subfolders, each sorted by name."""
    tops = sorted(_folders(root))
    places = [*tops, *(f"{top}/{name}" for top in tops for name in sorted(_folders(f"{root}/{top}")))]
    found = []
    for place in places:
        file = f"{root}/{place}/{_PYPROJECT}"
        if os.path.exists(file) and (content := _content(file)) is not None:  # noqa: PTH110
            found.append(ProjectFile(file, content, tuple(_packages(f"{root}/{place}"))))
    return tuple(found)


def _packages(folder: str) -> Iterator[tuple[str, str]]:
    for above in (folder, f"{folder}/src"):
        for name in sorted(_folders(above)):
            file = f"{above}/{name}/__init__.py"
            if name not in _NO_PACKAGES and os.path.exists(file):  # noqa: PTH110
                yield name, file


def _folders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as found:
            return [each.name for each in found if each.is_dir()]
    except OSError:
        return []


_QUESTIONS: Mapping[str, Callable[[str], object]] = {
    "file": os.path.isfile,
    "any": os.path.exists,
    "link": _target,
    "empty": _is_empty,
    "content": _content,
    "beginning": _beginning,
    "sources": _sources,
    "projects": _projects,
}
