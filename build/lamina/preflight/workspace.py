"""The local projects that ``uv sync`` needs: members of a workspace and other folders of the lock."""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Iterator, Mapping
from itertools import pairwise

from lamina.json_data import JsonTable, as_list, as_table, as_texts
from lamina.patterns import regex
from lamina.preflight.fault import Fault, Rule
from lamina.preflight.view import ImageView, RunView, is_sure, line_of, words_of
from lamina.reachable import reachable

MEMBER = Rule(
    id="LAM625",
    slug="member-not-copied",
    summary="`uv sync` without the folder of a local project that it installs",
    why="uv reads the pyproject.toml of each local project that it installs, at its place in the workspace",
    logs=(
        r"Distribution not found at: file://",
        r"references a workspace in `tool\.uv\.sources`.*but is not a workspace member",
        r"Failed to determine installation plan",
    ),
    advice="COPY the folder of each member before `uv sync`, or use --no-install-workspace",
    in_builds=True,
)
RULES = (MEMBER,)
_HAS_LOCAL = regex(rb'^source = \{ (?:editable|virtual|directory) = "(?!\.")', re.MULTILINE)
_NAME = regex(rb'^name = "([\w.-]+)"\r?$', re.MULTILINE)
_EDITABLE = regex(r'^name = "([^"]+)"\r?\n(?:version = .*\n)?source = \{ editable = "([^"]+)"', re.MULTILINE)
_LOCAL = ("editable", "virtual", "directory")
_WITHOUT_LOCAL = frozenset({"--no-install-workspace", "--no-install-local"})
_OTHER_ROOT = frozenset({"--project", "--directory", "--script"})


def member_faults(view: ImageView) -> Iterator[Fault]:
    """Yield local projects that ``uv sync --frozen`` or ``--locked`` needs and the step cannot see."""
    for step in view.runs:
        for command in step.commands:
            words = words_of(command)
            if [posixpath.basename(words[0]) if words else "", *words[1:2]] != ["uv", "sync"]:
                continue
            lock = _lock(view, step)
            if lock is None or _OTHER_ROOT & set(words):
                continue
            frozen = "--frozen" in words or step.set("UV_FROZEN") not in {None, "", "0", "false"}
            needed = _needed(lock, words) if frozen else _members(lock, words)
            for name, folder in sorted(needed.items()):
                place = posixpath.normpath(posixpath.join(step.sees.workdir, folder))
                if f"{place}/pyproject.toml" in step.sees.files or f"{place}/setup.py" in step.sees.files:
                    continue
                known = step.base.system is not None and not step.sees.gaps and frozen
                yield view.fault(
                    MEMBER,
                    line=line_of(step, command, view.image.node.recipe.dockerfile.text),
                    message=f"uv sync installs {name} of the workspace, "
                    f"and {folder}/pyproject.toml is not copied before",
                    hint=f"COPY {folder} {place}, or uv sync --no-install-workspace",
                    certainty="certain" if known and is_sure(command, step) else "likely",
                    unless=f"{step.base.name} contains {place}",
                )


def _lock(view: ImageView, step: RunView) -> JsonTable | None:
    """Return the parsed ``uv.lock`` that a step reads in its folder, if it has local projects."""
    origin = _lock_file(step)
    return _read_lock(view.content(origin) or b"") if origin else None


def _lock_file(step: RunView) -> str | None:
    return step.sees.files.get(f"{step.sees.workdir.rstrip('/')}/uv.lock")


def _read_lock(content: bytes) -> JsonTable | None:
    """Return a parsed lock of uv; None without local projects, or if it cannot be read.

    A text search comes first: parsing a lock takes seconds when it is long.
    """
    if not _HAS_LOCAL.search(content):
        return None
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None


def locked_names(view: ImageView, step: RunView) -> frozenset[str]:
    """Return the packages of the ``uv.lock`` that a step reads in its folder; none without a lock."""
    origin = _lock_file(step)
    content = view.content(origin) if origin else None
    return frozenset(found.decode() for found in _NAME.findall(content or b""))


def local_folders(view: ImageView, step: RunView) -> Mapping[str, str]:
    """Return the projects that ``uv sync`` installs as paths: name -> folder relative to the lock."""
    origin = _lock_file(step)
    text = (view.content(origin) or b"").decode("utf-8", "replace") if origin else ""
    return dict(_EDITABLE.findall(text))


def _folders(lock: JsonTable) -> Mapping[str, str]:
    """Return the local projects of a lock: name -> folder relative to the lock."""
    found: dict[str, str] = {}
    for each in map(as_table, as_list(lock.get("package"))):
        source, name = as_table(each.get("source")), each.get("name")
        folder = next((source[kind] for kind in _LOCAL if kind in source), None)
        if isinstance(folder, str) and isinstance(name, str):
            found[name] = folder
    return found


def _needed(lock: JsonTable, words: list[str]) -> Mapping[str, str]:
    """Return the local projects that a frozen sync installs, without the project itself."""
    folders = _folders(lock)
    if _WITHOUT_LOCAL & set(words):
        return {}
    if "--all-packages" in words:
        start = set(folders)
    else:
        named = {after for word, after in pairwise(words) if word == "--package"}
        named |= {word.partition("=")[2] for word in words if word.startswith("--package=")}
        start = named or {name for name, folder in folders.items() if folder == "."}
    skipped = {after for word, after in pairwise(words) if word == "--no-install-package"}
    requires = {
        str(each.get("name")): {str(as_table(one).get("name")) for one in as_list(each.get("dependencies"))}
        for each in map(as_table, as_list(lock.get("package")))
    }
    reached = reachable(start, lambda name: requires.get(name, ()))
    return {name: folder for name, folder in folders.items() if name in reached - skipped and folder != "."}


def _members(lock: JsonTable, words: list[str]) -> Mapping[str, str]:
    """Return all members, whose project files a sync that checks the lock reads."""
    if "--locked" not in words:
        return {}
    members = set(as_texts(as_table(lock.get("manifest")).get("members")))
    return {name: folder for name, folder in _folders(lock).items() if name in members and folder != "."}
