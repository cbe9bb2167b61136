"""A copy of a project in which files are edited and uv runs; the project itself changes at the end."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from lamina.errors import ConfigError, LaminaError, Problem, RegistryError
from lamina.files import write_atomic
from lamina.identify.excludes import DEFAULT_EXCLUDES
from lamina.identify.image import Image
from lamina.lint.edits import Rewrite
from lamina.process import Command, Runner, signals_held

_QUIET = {"NO_COLOR": "1", "UV_NO_PROGRESS": "1"}
_UNREACHABLE = re.compile(
    r"Request failed|Failed to (?:fetch|download)|dns error|error sending request|HTTP status"
)
_NO_PYTHON = re.compile(
    r"No interpreter found|python-build-standalone|incompatible with the project's Python"
)
_NO_SOLUTION = "No solution found"
_MISSING = 127
_SHOWN = 6
"""Lines of what uv says."""


class NoSolutionError(ConfigError):
    """uv ran, and no versions or wheels fit."""


class ProjectCopy:
    """The files of a project in another folder.

    Args:
        root: the project's folder.
        folder: where the copy goes; it does not exist yet.
    """

    def __init__(self, root: Path, folder: Path, runner: Runner) -> None:
        self.root = folder
        self._origin = root
        self._runner = runner
        self._before: dict[str, bytes | None] = {}
        """Of the files that are edited: what they hold in the project when it is copied."""
        self._generated: set[str] = set()
        shutil.copytree(root, folder, symlinks=True, ignore=shutil.ignore_patterns(*DEFAULT_EXCLUDES))

    def complete(self, images: Iterable[Image]) -> None:
        """Copy files of contexts that projects usually leave out."""
        for image in images:
            for name, context in image.contexts.items():
                for each in context.files:
                    self._bring(image.root(name) / each.path)

    def _bring(self, file: Path) -> None:
        path = os.path.relpath(file, self._origin)
        if path.startswith(".."):
            raise ConfigError.of(
                "a context outside the project's folder cannot be bumped",
                where=str(file),
                hint="move pyproject.toml with [tool.lamina] above it",
            )
        copy = self.root / path
        if not copy.exists() and not copy.is_symlink() and file.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, copy, follow_symlinks=False)

    def read(self, path: str) -> str:
        """Return the text of a file; empty if there is none, or it is not a text.

        Raises ConfigError if it is a link that leads out of the project.
        """
        try:
            return (self.root / path).read_bytes().decode("utf-8")
        except FileNotFoundError:
            if (self._origin / path).is_file():
                self._real(path)
            return ""
        except (OSError, UnicodeDecodeError):
            return ""

    def write(self, path: str, text: str) -> None:
        """Change a file of the copy. Raises ConfigError if it is a link that leads out of the project."""
        if text != self.read(path):
            (self.root / self._edited(path)).write_bytes(text.encode("utf-8"))

    def _edited(self, path: str) -> str:
        """Return the path of the file that links lead to, and keep what it holds before an edit."""
        real = self._real(path)
        if real not in self._before:
            self._before[real] = _content(self.root / real)
        return real

    def _real(self, path: str) -> str:
        """Return the path of the file that links lead to. An absolute one leads to the project itself."""
        real = (self.root / path).resolve()
        if not real.is_relative_to(self.root):
            raise ConfigError.of(
                "is a link that leads out of the project, or an absolute one",
                where=path,
                allowed="a file, or a relative link to a file of the project",
            )
        return real.relative_to(self.root).as_posix()

    def uv(self, folder: str, *words: str, writes: str, stdin: str | None = None) -> str:
        """Run uv in a folder of the copy and return what it prints.

        writes: the file that it may change, or empty.

        Raises:
            NoSolutionError: no versions or wheels fit.
            ConfigError: uv is not there, or refuses; the file is a link that leads out of the project.
            RegistryError: an index does not answer.
        """
        if writes:
            self._generated.add(self._edited(writes))
        command = Command(
            argv=("uv", *words),
            env=_QUIET,
            cwd=self.root / folder,
            stdin=None if stdin is None else stdin.encode("utf-8"),
        )
        done = self._runner.run(command)
        if done.ok:
            return done.stdout
        called = " ".join(command.argv)
        where = f"{folder}: {called}" if folder else called
        if done.code == _MISSING:
            raise ConfigError.of("uv is not installed", where=where, hint="pip install uv")
        lines = [line.strip().removeprefix("error: ") for line in done.stderr.splitlines() if line.strip()]
        said = "\n    ".join(lines[:_SHOWN]) or f"exit code {done.code}"
        said = said.replace(str(self.root), str(self._origin))
        if _NO_PYTHON.search(done.stderr):
            raise ConfigError.of(said, where=where, hint="uv python install VERSION, then bump again")
        if _UNREACHABLE.search(done.stderr):
            raise RegistryError.of(said, where=where, hint="is the package index reachable?")
        raise (NoSolutionError if _NO_SOLUTION in done.stderr else ConfigError).of(said, where=where)

    @property
    def generated(self) -> frozenset[str]:
        """The files that uv may have written."""
        return frozenset(self._generated)

    def rewrites(self) -> tuple[Rewrite, ...]:
        """Return the files that differ from those that were copied, by path."""
        return tuple(self._rewrites())

    def _rewrites(self) -> Iterator[Rewrite]:
        for path, content in sorted(self._before.items()):
            before = None if content is None else content.decode("utf-8")
            after = self.read(path)
            if before != after:
                yield Rewrite(path=path, before=before, after=after)


def write_all(root: Path, rewrites: Iterable[Rewrite]) -> None:
    """Write all files or, if one cannot be written or a signal comes, none.

    Raises LaminaError, also for a file that no longer holds what it held before: somebody edits it.
    """
    found, begun = tuple(rewrites), list[Rewrite]()
    try:
        LaminaError.check(
            Problem(what="was edited while bump ran; nothing is changed", where=each.path, hint="bump again")
            for each in found
            if _content(root / each.path) != _bytes(each.before)
        )
        for each in found:
            begun.append(each)
            _write(root / each.path, each.after)
    except BaseException as error:
        with signals_held():
            for each in begun:
                _undo(root / each.path, each)
        if isinstance(error, OSError):
            raise LaminaError.of_system(error, hint="nothing is changed") from None
        raise


def _undo(file: Path, rewrite: Rewrite) -> None:
    """Bring a file back, unless it was not written."""
    if _content(file) != _bytes(rewrite.after):
        return
    if rewrite.before is None:
        file.unlink()
    else:
        _write(file, rewrite.before)


def _content(file: Path) -> bytes | None:
    """Return what a file holds; None if there is none."""
    return file.read_bytes() if file.exists() else None


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8")


def _write(file: Path, text: str) -> None:
    mode = file.stat().st_mode & 0o777 if file.exists() else 0o644
    write_atomic(file, text, mode=mode)
