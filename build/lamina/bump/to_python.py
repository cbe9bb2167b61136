"""Bring a project to another Python: images, limits, locks."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator

from lamina.bump import python
from lamina.bump.files import ProjectFiles, by_hand
from lamina.bump.requirement import Target
from lamina.bump.wheels import base_of
from lamina.declare.document import LAMINA_TOML, PYPROJECT
from lamina.errors import ConfigError, Problem, SelectionError
from lamina.identify.image import Image
from lamina.preflight.bases import read_base

_PYTHON_FILE = ".python-version"
_POETRY_LOCK = "poetry.lock"
_FIRST = (3, 8)
"""The oldest Python of a runtime of Lambda."""


def python_version(target: Target) -> python.Version:
    """Return the version that is asked for. Raises ConfigError."""
    found = python.VERSION.fullmatch(target.version or "")
    version = (int(found[1]), int(found[2])) if found else None
    if version is None or version < _FIRST:
        raise ConfigError.of(
            f"{target.version} is not a version of Python" if target.version else "the version is missing",
            where="lamina bump python",
            allowed="a version of Lambda's runtimes: 3.13, 3.14, …",
            hint="lamina bump python 3.14",
        )
    return version


def to_python(files: ProjectFiles, new: python.Version) -> Iterator[Problem]:
    """Edit all files for another Python, and make those of uv again; yield notes.

    Raises:
        ConfigError: a digest pins an image of an old Python, a limit forbids the new one, or uv fails.
        SelectionError: no image has a Python.
    """
    olds = {each for image in files.images.values() for each in _pythons(files, image)}
    if not olds:
        raise SelectionError.of("no image is based on an image of Python", hint="lamina config")
    dockerfiles = files.dockerfiles()
    ConfigError.check(
        problem for each in dockerfiles.values() for problem in python.digests(each, olds - {new})
    )
    for path, each in dockerfiles.items():
        files.copy.write(path, python.in_dockerfile(each, olds, new))
    files.edit(PYPROJECT, lambda text: python.in_settings(text, olds, new))
    files.edit(LAMINA_TOML, lambda text: python.in_tables(text, olds, new))
    changed = [path for path in files.projects if _limited(files, path, olds, new)]
    for folder in sorted({"", *(posixpath.dirname(path) for path in files.projects)}):
        path = posixpath.join(folder, _PYTHON_FILE)
        files.edit(path, lambda text: python.in_version_file(text, new))
    for lock in sorted({lock for path in changed if (lock := files.lock_of(path))}):
        files.copy.uv(posixpath.dirname(lock), "lock", "--quiet", writes=lock)
    yield from _made_again(files, olds, new)
    for path in changed:
        beside = posixpath.join(posixpath.dirname(path), _POETRY_LOCK)
        if (files.copy.root / beside).is_file():
            yield Problem(what="is not made by uv and stays as it is", where=beside, hint="poetry lock")


def _pythons(files: ProjectFiles, image: Image) -> Iterator[python.Version]:
    """Yield the Python of an image, and those of images that its stages use."""
    bases = (base_of(files.images, image), *(read_base(each.name) for each in image.node.externals))
    yield from (each.python for each in bases if each.python is not None)


def _limited(files: ProjectFiles, path: str, olds: Collection[python.Version], new: python.Version) -> bool:
    """Edit the limit of a project; return whether that changed it. Raises ConfigError."""
    text = files.copy.read(path)
    made = python.in_limit(text, olds, new)
    if limit := python.forbids(made, new):
        raise ConfigError.of(
            f"requires-python {limit!r} does not allow {python.text_of(new)}",
            where=path,
            hint="change it by hand",
        )
    files.copy.write(path, made)
    return made != text


def _made_again(
    files: ProjectFiles, olds: Collection[python.Version], new: python.Version
) -> Iterator[Problem]:
    """Make the files of requirements again whose command names an old Python; yield those that cannot be."""
    for path, made in files.generated.items():
        command = python.renamed(made.command, olds, new)
        if command != made.command and made.words is None:
            yield by_hand(path, made)
        elif command != made.command:
            files.compile(path, command)
