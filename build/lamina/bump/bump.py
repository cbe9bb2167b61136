"""``bump``: edit every file that names a version in a copy of the project, and plan with the copy."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lamina.bump.copy import ProjectCopy, write_all
from lamina.bump.files import ProjectFiles
from lamina.bump.requirement import read_target
from lamina.bump.to_python import python_version, to_python
from lamina.bump.to_requirement import to_requirement
from lamina.bump.wheels import MissingWheel, missing_in_locks, missing_in_requirements
from lamina.declare.lockfile import LOCK_FILE
from lamina.errors import Problem, RegistryError
from lamina.flow.lock import make_lock, write_lock
from lamina.flow.session import Session
from lamina.flow.snapshot import take_snapshot, without_stable
from lamina.identify.explain import InputChange
from lamina.identify.image import Image
from lamina.lint.edits import Rewrite

Images = Mapping[str, Image]


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedImage:
    """An image that the new files rebuild, with its content tags."""

    name: str
    before: str
    after: str
    changes: tuple[InputChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bump:
    """New texts of files, and what they lead to.

    Attributes:
        to: the version that is bumped to: ``python==3.14``.
        generated: the files that uv makes.
        images: how many the project has.
        missing: pinned packages without a wheel for an image.
    """

    to: str
    rewrites: tuple[Rewrite, ...]
    moved: tuple[MovedImage, ...]
    images: int
    generated: frozenset[str] = frozenset()
    missing: tuple[MissingWheel, ...] = ()
    notes: tuple[Problem, ...] = ()


def bump(session: Session, name: str, version: str | None, *, check: bool) -> Bump:
    """Return the edits that bring a project to another Python, or to another version of a requirement.

    Nothing of the project is written.

    Args:
        name: ``python``, or a requirement, perhaps with its version.
        version: the version, if it is not in the name.
        check: whether the index is asked about wheels that no lock lists.

    Raises:
        ConfigError: a version is not one; uv finds no solution; files pin it in a way that cannot be changed.
        SelectionError: no file of the project names it.
        RegistryError: an index does not answer.
    """
    target = read_target(name, version)
    session = session.offline()
    before = _images(session)
    with tempfile.TemporaryDirectory(prefix="lamina-bump-") as folder:
        copy = ProjectCopy(session.root, Path(folder).resolve() / "project", session.runner)
        copy.complete(before.values())
        files, notes = ProjectFiles(copy, before), tuple[Problem, ...]()
        if target.name == "python":
            notes = tuple(to_python(files, python_version(target)))
        else:
            target = to_requirement(files, target)
        rewrites = copy.rewrites()
        made = session.at(copy.root)
        try:
            after = _images(made) if rewrites else before
            missing = list(missing_in_locks(after))
            if check:
                missing += missing_in_requirements(copy, after, files.listings)
        finally:
            made.close()
    return Bump(
        to=target.written,
        rewrites=rewrites,
        moved=tuple(_moved(before, after)),
        images=len(before),
        generated=copy.generated,
        missing=tuple(missing),
        notes=notes,
    )


def _images(session: Session) -> Images:
    return take_snapshot(session, tuple(session.graph.nodes), stable=without_stable).images


def _moved(before: Images, after: Images) -> Iterator[MovedImage]:
    for name, image in after.items():
        old = before[name]
        if image.fingerprint != old.fingerprint:
            changes = image.changes_since(old.inputs)
            yield MovedImage(name=name, before=old.tag, after=image.tag, changes=changes)


def write_bump(session: Session, found: Bump) -> tuple[str, ...]:
    """Write the new files, or none of them, and pin images that are new; return the files' paths.

    Raises LaminaError. A registry that does not answer is a note: a build without the pins says what to do.
    """
    write_all(session.root, found.rewrites)
    written = tuple(each.path for each in found.rewrites)
    if not written or not (session.root / LOCK_FILE).is_file():
        return written
    fresh = session.again()
    try:
        made = make_lock(fresh, refresh=False, dry_run=True)
        if made.after != made.before:
            write_lock(fresh, made.after)
            written = (*written, LOCK_FILE)
    except RegistryError as error:
        session.screen.notes(
            [Problem(what=f"new images are not pinned: {error.problems[0].what}", hint="invoke lock")]
        )
    finally:
        fresh.close()
    return written
