"""What infrastructure files say of an image: the common form of SAM, Serverless, Pulumi and CDK."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lamina.errors import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """An image as an infrastructure file declares it. Paths are POSIX and relative to the repository.

    name: what the file calls the image, None where it only names functions. where: ``file:line``.
    """

    dockerfile: str
    context: str | None = None
    name: str | None = None
    functions: tuple[str, ...] = ()
    platform: str | None = None
    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was found in a file, and what of it could not be read."""

    declared: tuple[Declared, ...] = ()
    notes: tuple[Problem, ...] = ()


def inside(folder: str, path: str) -> str | None:
    """A path that is relative to a folder of the repository, relative to the repository; None outside it."""
    joined = posixpath.normpath(posixpath.join(folder, path))
    return None if joined.startswith(("..", "/")) else joined


def first_inside(root: Path, folders: Iterable[str], path: str, *, folder: bool) -> str | None:
    """The first place below one of the folders where the path is a file, or a folder."""
    for each in folders:
        found = inside(each, path)
        if found is not None and ((root / found).is_dir() if folder else (root / found).is_file()):
            return found
    return None
