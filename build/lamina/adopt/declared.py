"""An image as infrastructure files declare it: the common form of SAM, Serverless, Pulumi and CDK."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lamina.errors import Problem

_APPS = ("cdk.json", "Pulumi.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """An image as an infrastructure file declares it. Paths are POSIX and relative to the repository.

    Attributes:
        name: the image's name in the file, None if the file only names functions.
        functions: the names that functions have when deployed.
        resources: functions of the file whose names only the deployment gives: their ids in the file.
        stack: the CloudFormation stack that has them; empty if its name is not known, None if there is none.
        where: ``file:line``.
        open_args: build arguments whose values are not plain.
        command: replaces the image's CMD in these functions; empty if it does not.
        deploys: whether the file deploys the image; a compose file only runs it.
        elsewhere: whether the file builds it for something else than a function.
    """

    dockerfile: str
    context: str | None = None
    name: str | None = None
    functions: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    platform: str | None = None
    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    open_args: tuple[str, ...] = ()
    stack: str | None = None
    command: tuple[str, ...] = ()
    where: str
    deploys: bool = True
    elsewhere: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A Dockerfile from whose image a deployment takes files, for a zip file. where: ``file:line``."""

    dockerfile: str
    where: str


def open_keys(args: object, known: Mapping[str, str]) -> tuple[str, ...]:
    """Return the keys of a table whose values are not known."""
    return (
        tuple(key for key in args if isinstance(key, str) and key not in known)
        if isinstance(args, Mapping)
        else ()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFunction:
    """A function and the image that it runs.

    Attributes:
        name: when deployed; None if it is not plain.
        label: its name in the file.
        image: as the file writes it.
        where: ``file:line``.
    """

    name: str | None
    label: str
    image: str
    platform: str | None
    command: tuple[str, ...]
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The images declared in a file, its zip assets, and notes about those that could not be read.

    unbuilt: functions whose images the file does not build.
    """

    declared: tuple[Declared, ...] = ()
    assets: tuple[Asset, ...] = ()
    notes: tuple[Problem, ...] = ()
    unbuilt: tuple[ImageFunction, ...] = ()


def unread_command(functions: Collection[str], where: str) -> Problem:
    """Return the note about the CMD of functions that is more than a plain list of strings."""
    owner = f"function {', '.join(functions)}" if functions else "an image"
    return Problem(
        what=f"the cmd of {owner} is not known: it is not a plain list of strings",
        where=where,
        hint='add command = ["<module>.<function>"] to the function in [tool.lamina.images.<name>]',
    )


class Located(str):
    """A path that is relative to the repository, as opposed to the program or where it runs."""

    __slots__ = ()


def inside(folder: str, path: str) -> str | None:
    """Return a path relative to the repository, given relative to a folder; None if it is outside."""
    joined = posixpath.normpath(posixpath.join(folder, path))
    return None if joined.startswith(("..", "/")) else joined


def run_folders(root: Path, folder: str) -> Iterator[str]:
    """Yield the folders in which a program may run: its own and those above, apps of CDK and Pulumi first."""
    above = [folder]
    while above[-1]:
        above.append(posixpath.dirname(above[-1]))
    yield from sorted(above, key=lambda each: not any((root / each / name).is_file() for name in _APPS))


def first_inside(root: Path, folders: Iterable[str], path: str, *, folder: bool) -> str | None:
    """Return the first of the folders' paths that is a file, or with ``folder`` a folder; else None."""
    for each in folders:
        found = inside(each, path)
        if found is not None and ((root / found).is_dir() if folder else (root / found).is_file()):
            return found
    return None


def folder_with(root: Path, folders: Iterable[str], path: str, file: str | None) -> str | None:
    """Return the first of the folders' paths that is a folder with the file, else the first folder."""
    each_alone = (first_inside(root, (each,), path, folder=True) for each in folders)
    found = [each for each in each_alone if each is not None]
    fitting = (each for each in found if file and (root / each / file).is_file())
    return next(fitting, found[0] if found else None)
