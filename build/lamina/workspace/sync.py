"""``sync``: write the marked lines of the Dockerfiles from the members of the workspace."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lamina.declare.config import ImageSpec
from lamina.declare.lockfile import UV_LOCK
from lamina.declare.recipe import Recipe
from lamina.errors import ConfigError, Problem, SelectionError
from lamina.files import write_atomic
from lamina.flow.session import Session
from lamina.identify.excerpt import use_of_lock
from lamina.workspace.blocks import MARK, synced, with_copy_block, without_repeated
from lamina.workspace.members import UvWorkspace, read_workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncedDockerfile:
    """A Dockerfile as it is, and with its blocks up to date.

    Attributes:
        path: relative to the project.
        members: those that its blocks name; none without a block.
    """

    images: tuple[str, ...]
    file: Path
    path: str
    members: tuple[str, ...]
    before: str
    after: str

    @property
    def current(self) -> bool:
        """Whether there is nothing to write."""
        return self.before == self.after


def sync_dockerfiles(session: Session) -> tuple[SyncedDockerfile, ...]:
    """Return the Dockerfiles of the selected images with their blocks up to date.

    Raises:
        ConfigError: with all faults of blocks; there is no lock.
        SelectionError: the project is not a workspace of uv, and no Dockerfile has marks.
    """
    workspace = read_workspace(session.root)
    problems: list[Problem] = []
    found: list[SyncedDockerfile] = []
    for specs in _by_dockerfile(session):
        first = specs[0]
        contexts = {spec.context for spec in specs}
        recipe = session.graph.nodes[first.name].recipe
        text = first.dockerfile.read_bytes().decode("utf-8")
        started = _with_block(text, recipe, workspace, first.context) if workspace else text
        after, members, faults = synced(started, first.dockerfile_path, workspace, first.context)
        after = after if started == text else without_repeated(after)
        problems += faults
        if members and len(contexts) > 1:
            problems.append(
                Problem(what="is built in several contexts: its blocks fit one", where=first.dockerfile_path)
            )
        found.append(
            SyncedDockerfile(
                images=tuple(spec.name for spec in specs),
                file=first.dockerfile,
                path=first.dockerfile_path,
                members=members,
                before=text,
                after=after,
            )
        )
    ConfigError.check(problems)
    if workspace is None and not any(each.members for each in found):
        raise SelectionError.of(
            "the project is not a workspace of uv, and no Dockerfile has marks for a file of requirements",
            where=str(session.root / "pyproject.toml"),
            hint="run this where the workspace's uv.lock is, or write: # lamina sync: copy requirements.txt",
        )
    return tuple(found)


def _with_block(text: str, recipe: Recipe, workspace: UvWorkspace, context: Path) -> str:
    """Return a Dockerfile with an empty block, if it installs one member's requirements and has none yet."""
    lock = os.path.relpath(workspace.root / UV_LOCK, context).replace(os.sep, "/")
    use = use_of_lock(recipe, lock) if MARK not in text else None
    members = use.selection.members if use and use.only_outside else frozenset()
    return with_copy_block(text, recipe, min(members)) if len(members) == 1 else text


def _by_dockerfile(session: Session) -> Iterable[list[ImageSpec]]:
    graph = session.graph
    groups: dict[Path, list[ImageSpec]] = {}
    for name in graph.select(session.flags.images):
        spec = graph.nodes[name].spec
        groups.setdefault(spec.dockerfile, []).append(spec)
    return groups.values()


def write_dockerfiles(found: Iterable[SyncedDockerfile]) -> tuple[str, ...]:
    """Write the Dockerfiles that are out of date; return their paths."""
    stale = [each for each in found if not each.current]
    for each in stale:
        mode = each.file.stat().st_mode & 0o777
        write_atomic(each.file, each.after, mode=mode)
    return tuple(each.path for each in stale)


def stale_problems(found: Iterable[SyncedDockerfile]) -> tuple[Problem, ...]:
    """Return a problem for each Dockerfile that is out of date."""
    return tuple(
        Problem(
            what=f"the marked lines are not those that {' and '.join(each.members)} needs",
            where=each.path,
            hint="invoke sync",
        )
        for each in found
        if not each.current
    )
