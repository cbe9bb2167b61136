"""The files of a project that may name versions."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Callable, Iterator, Mapping

from lamina.bump import requirement
from lamina.bump.copy import ProjectCopy
from lamina.bump.requirement import MadeBy
from lamina.declare.dockerfile import Dockerfile, parse_dockerfile
from lamina.declare.lockfile import UV_LOCK
from lamina.declare.uv_lock import UnusualLockError, read_uv_lock
from lamina.errors import Problem
from lamina.identify.image import Image

_PYPROJECT = "pyproject.toml"


class ProjectFiles:
    """The files of a copy that may name versions, by their paths below the project's folder.

    Attributes:
        locks: of uv.
        projects: pyproject.toml files: the project's own, those of the locks, and those that images read.
        listings: files of requirements that images read.
    """

    def __init__(self, copy: ProjectCopy, images: Mapping[str, Image]) -> None:
        self.copy = copy
        self.images = images
        used = {
            image.project_path(file.path)
            for image in images.values()
            for file in image.contexts[""].files
            if file.kind in {"file", "exec"}
        }
        listed = {image.project_path(path) for image in images.values() for path in image.inputs.requirements}
        self.locks = sorted(path for path in used | {UV_LOCK} if _is(path, UV_LOCK) and copy.read(path))
        members = {path for lock in self.locks for path in self._members(lock)}
        self.projects = sorted(
            path
            for path in {_PYPROJECT, *(each for each in listed if _is(each, _PYPROJECT)), *members}
            if copy.read(path)
        )
        listings = {path for path in listed if path.endswith((".txt", ".in"))}
        generated = {path: made for path in listings if (made := requirement.made_by(copy.read(path)))}
        listings |= {each for path, made in generated.items() for each in self._sources(path, made)}
        self.listings = sorted(listings)
        self.generated: Mapping[str, MadeBy] = dict(sorted(generated.items()))
        """Those of the listings that a command made."""

    def _members(self, lock: str) -> Iterator[str]:
        folder = posixpath.dirname(lock)
        yield posixpath.join(folder, _PYPROJECT)
        try:
            for each in read_uv_lock(self.copy.read(lock)).folders.values():
                yield posixpath.normpath(posixpath.join(folder, each, _PYPROJECT))
        except UnusualLockError:
            return

    def dockerfiles(self) -> Mapping[str, Dockerfile]:
        """Return the Dockerfiles of the images as they were copied: they may have been edited since."""
        paths = sorted({image.node.spec.dockerfile_path for image in self.images.values()})
        return {path: parse_dockerfile(self.copy.read(path), path) for path in paths}

    def edit(self, path: str, change: Callable[[str], str]) -> None:
        """Change the text of a file."""
        text = self.copy.read(path)
        if text:
            self.copy.write(path, change(text))

    def lock_of(self, project: str) -> str | None:
        """Return the lock beside a project file, or in the nearest folder above it."""
        folder = posixpath.dirname(project)
        while True:
            if (path := posixpath.join(folder, UV_LOCK)) in self.locks:
                return path
            if not folder:
                return None
            folder = posixpath.dirname(folder)

    def _sources(self, path: str, made: MadeBy) -> Iterator[str]:
        """Yield the files of requirements from which a command makes another one."""
        folder = self._folder(path, made.words or ())
        for word in made.words or ():
            source = posixpath.normpath(posixpath.join(folder, word))
            if word.endswith((".in", ".txt")) and source != path and self.copy.read(source):
                yield source

    def compile(self, path: str, command: str, *more: str) -> None:
        """Make a file of requirements again by a command of uv, in the folder in which it was made."""
        words = tuple(shlex.split(command))
        output = () if requirement.output_of(words) else ("--output-file", posixpath.basename(path))
        folder = self._folder(path, words)
        self.copy.uv(folder, *words[1:], *more, *output, "--quiet", writes=path)

    def _folder(self, path: str, words: tuple[str, ...]) -> str:
        """Return the folder in which a command wrote a file: the one that its output is relative to."""
        output = requirement.output_of(words)
        if output is not None and f"/{path}".endswith(f"/{output}"):
            return path.removesuffix(output).rstrip("/")
        return posixpath.dirname(path)


def _is(path: str, name: str) -> bool:
    return posixpath.basename(path) == name


def by_hand(path: str, made: MadeBy) -> Problem:
    """Return a problem about a file that another program than uv makes."""
    return Problem(
        what="was not made by a command of uv", where=path, hint=f"run it yourself: {made.command}"
    )
