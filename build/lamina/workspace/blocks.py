"""The marked lines of a Dockerfile, which `sync` writes: copies of members' code, and mounts for uv."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lamina.declare.lockfile import UV_LOCK
from lamina.declare.recipe import Recipe
from lamina.errors import ConfigError, Problem, meant
from lamina.workspace.listings import Listing, is_listing, read_listing
from lamina.workspace.members import PYPROJECT, Member, UvWorkspace

Kind = Literal["copy", "mount"]
TASK_ROOT = "/var/task"
MARK = "# lamina sync:"
END = f"{MARK} end"
_ALLOWED = (
    "# lamina sync: copy MEMBER [into FOLDER], # lamina sync: mount MEMBER [with all members]; "
    "for pip the path of a file of requirements instead of a member"
)
_MARK = re.compile(r"[ \t]*# lamina sync: (?P<kind>\w+)(?P<rest>.*)")
_REST = re.compile(r" (?P<member>[\w./-]+)(?: into (?P<into>/\S*))?(?P<all> with all members)?\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A marked block. start: index of the line behind its mark; end: of its last mark."""

    kind: Kind
    member: str
    into: str | None
    everyone: bool
    indent: str
    start: int
    end: int


def mark(kind: Kind, member: str) -> str:
    """Return the line before a block."""
    return f"{MARK} {kind} {member}"


def synced(
    text: str, path: str, workspace: UvWorkspace | None, context: Path
) -> tuple[str, tuple[str, ...], tuple[Problem, ...]]:
    """Return a Dockerfile's text with its blocks up to date, their members, and problems.

    path: for messages. context: the folder that its sources are relative to.
    """
    lines = text.split("\n")
    ending = "\r" if lines[0].endswith("\r") else ""
    problems: list[Problem] = []
    blocks = list(_blocks(lines, path, problems))
    for block in reversed(blocks):
        where = f"{path}:{block.start}"
        if is_listing(block.member):
            try:
                made = tuple(listing_lines(block, read_listing(context, block.member, where)))
            except ConfigError as error:
                problems += error.problems
                continue
        elif workspace is None or block.member not in workspace.members:
            known = workspace.members if workspace else {}
            problems.append(
                Problem(
                    what=f"{block.member} is not a member of the workspace{meant(block.member, known)}",
                    where=where,
                    allowed=", ".join(known) or "the path of a file of requirements: there is no workspace",
                )
            )
            continue
        else:
            made = render_block(block, workspace, context)
        lines[block.start : block.end] = [f"{block.indent}{each}{ending}" for each in made]
    return "\n".join(lines), tuple(dict.fromkeys(block.member for block in blocks)), tuple(problems)


def with_copy_block(text: str, recipe: Recipe, member: str) -> str:
    """Return a Dockerfile with an empty block for a member's code, before the command of its last stage.

    COPY instructions of that stage that the block will have are left out.
    """
    stage = recipe.stages[-1].stage
    lines = text.split("\n")
    ending = "\r" if lines[0].endswith("\r") else ""
    ends = [each.line for each in stage.instructions if each.name in {"CMD", "ENTRYPOINT"}]
    last = max((each.end for each in stage.instructions), default=stage.line)
    at = min(ends) - 1 if ends else last
    lines[at:at] = [f"{mark('copy', member)}{ending}", f"{END}{ending}"]
    return "\n".join(lines)


def without_repeated(text: str) -> str:
    """Return a Dockerfile without instructions that stand in a block as well."""
    lines = text.split("\n")
    inside: set[int] = set()
    for block in _blocks(lines, "", []):
        inside |= set(range(block.start, block.end)) if block.kind == "copy" else set()
    known = {_plain(lines[index]) for index in inside}
    return "\n".join(line for index, line in enumerate(lines) if index in inside or _plain(line) not in known)


def _plain(line: str) -> str:
    return " ".join(line.replace("/ ", " ").rstrip("/\r ").split())


def render_block(block: Block, workspace: UvWorkspace, context: Path) -> tuple[str, ...]:
    """Return the lines of a block, without its marks."""
    prefix = os.path.relpath(workspace.root, context).replace(os.sep, "/")
    closure = workspace.closure(block.member)
    if block.kind == "copy":
        return tuple(line for each in closure for line in copy_lines(each, prefix, block.into or TASK_ROOT))
    shown = tuple(workspace.members.values()) if block.everyone else closure[-1:]
    return tuple(mount_lines(shown, prefix))


def listing_lines(block: Block, listing: Listing) -> Iterator[str]:
    """Yield what brings a file of requirements, and what it names, to the same places below one folder."""
    into = block.into or ""
    for path in (*listing.files, *listing.folders):
        folder = path in listing.folders
        if block.kind == "mount":
            target = posixpath.join(into, path)
            yield f"--mount=type=bind,source={path},target={target}{',rw' if folder else ''} \\"
        elif folder:
            yield f"COPY {path}/ {posixpath.join(into, path)}/"
        else:
            yield f"COPY {path} {posixpath.join(into, posixpath.dirname(path), '') or './'}"


def copy_lines(member: Member, prefix: str, into: str) -> Iterator[str]:
    """Yield the COPY instructions for a member's code."""
    for each in member.code:
        sources = " ".join(_joined(prefix, source) for source in each.sources)
        yield f"COPY --link {sources} {posixpath.join(into, each.target)}"


def mount_lines(members: tuple[Member, ...], prefix: str) -> Iterator[str]:
    """Yield the mounts that uv needs to install members from the lock."""
    folders = {each.folder for each in members} - {"."}
    files = (UV_LOCK, PYPROJECT, *(f"{folder}/{PYPROJECT}" for folder in sorted(folders)))
    for path in files:
        yield f"--mount=type=bind,source={_joined(prefix, path)},target={path} \\"


def _joined(prefix: str, path: str) -> str:
    joined = posixpath.normpath(posixpath.join(prefix, path))
    return f"{joined}/" if path.endswith("/") else joined


def _blocks(lines: list[str], path: str, problems: list[Problem]) -> Iterator[Block]:
    opened: tuple[int, re.Match[str]] | None = None
    for index, line in enumerate(lines):
        found = _MARK.match(line.rstrip("\r"))
        if found is None:
            continue
        if opened is not None:
            start, first = opened
            opened = None
            if found["kind"] == "end":
                yield from _block(first, start, index, path, problems)
                continue
            problems.append(_unended(path, start))
        if found["kind"] == "end":
            problems.append(Problem(what="the end of a block without its start", where=f"{path}:{index + 1}"))
        else:
            opened = (index + 1, found)
    if opened is not None:
        problems.append(_unended(path, opened[0]))


def _unended(path: str, line: int) -> Problem:
    return Problem(what="the block is not ended", where=f"{path}:{line}", hint=f"add the line {END}")


def _block(first: re.Match[str], start: int, end: int, path: str, problems: list[Problem]) -> Iterator[Block]:
    rest = _REST.fullmatch(first["rest"])
    if rest is None or first["kind"] not in {"copy", "mount"}:
        problems.append(
            Problem(
                what=f"unknown block: {first.group().strip()}",
                where=f"{path}:{start}",
                allowed=_ALLOWED,
            )
        )
        return
    yield Block(
        kind="copy" if first["kind"] == "copy" else "mount",
        member=rest["member"],
        into=rest["into"],
        everyone=rest["all"] is not None,
        indent=first.group()[: len(first.group()) - len(first.group().lstrip())],
        start=start,
        end=end,
    )
