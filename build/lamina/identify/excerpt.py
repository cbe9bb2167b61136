"""Excerpts: the part of ``uv.lock`` and ``pyproject.toml`` that the steps of an image can read from them.

Where every step that sees a lock provably installs some members from it, the build gets an excerpt for these
members under the lock's name. The excerpt is what is hashed and what is sent. An edit of the lock for another
image therefore changes neither the fingerprint nor BuildKit's key.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import cast

from lamina.declare.dockerfile import Instruction
from lamina.declare.flags import mount_options
from lamina.declare.lockfile import UV_LOCK
from lamina.declare.recipe import Recipe, ResolvedStage, SourceFiles
from lamina.declare.script import read_script
from lamina.declare.uv_commands import LockUse, UnprovedError, check_variables, lock_uses
from lamina.declare.uv_lock import Selection, UnusualLockError, read_uv_lock
from lamina.identify.context import Context, ContextFile
from lamina.identify.copy_sources import rooted
from lamina.identify.derived import Derived
from lamina.identify.fingerprint import NOT_USED, masked
from lamina.identify.goregexp import PatternError
from lamina.identify.wildcard import compile_wildcard, is_wildcard
from lamina.json_data import Json
from lamina.patterns import regex
from lamina.values import dataclass

_PYPROJECT = "pyproject.toml"
_HEREDOC = regex(r"<<-?[\"']?\w+[\"']?")
_HEADER = regex(r"^(?=\[)", re.MULTILINE)
_TABLE = regex(r"\[{1,2}\s*(tool\s*\.\s*[^\].\s]+)[^\]]*\]{1,2}")


@dataclass(frozen=True, slots=True)
class LockExcerpt:
    """Makes the excerpt of a lock; an unusual lock stays as it is."""

    selection: Selection

    @property
    def how(self) -> str:
        """The name of what it does, with all that it depends on."""
        return f"lock for {self.selection.how}"

    def __call__(self, raw: bytes) -> bytes:
        """Return the excerpt of a lock's content."""
        try:
            return read_uv_lock(raw.decode("utf-8")).excerpt(self.selection).encode("utf-8")
        except (UnicodeDecodeError, UnusualLockError):
            return raw


@dataclass(frozen=True, slots=True)
class ProjectExcerpt:
    """Leaves out the tables of other tools than uv; an unusual file stays as it is."""

    how = "project for uv"

    def __call__(self, raw: bytes) -> bytes:
        """Return the excerpt of a project file's content."""
        return _without_other_tools(raw)


@lru_cache(maxsize=64)
def _without_other_tools(raw: bytes) -> bytes:
    try:
        text = raw.decode("utf-8")
        kept = "".join(part for part in _HEADER.split(text) if not _of_other_tool(part))
        expected = tomllib.loads(text)
        expected["tool"] = {key: table for key, table in expected.get("tool", {}).items() if key == "uv"}
        if {"tool": {}, **tomllib.loads(kept)} != expected:
            return raw
        return kept.rstrip("\n").encode("utf-8") + b"\n"
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError):
        return raw


def _of_other_tool(part: str) -> bool:
    table = _TABLE.match(part)
    return table is not None and re.sub(r"\s", "", table[1]) != "tool.uv"


def use_of_lock(recipe: Recipe, lock: str) -> LockUse | None:
    """Return what all steps that see a lock take from it together; None if that is not certain.

    lock: its path in the main context.
    """
    return _use(recipe, lock, {})


_Known = dict[int, tuple[LockUse, ...] | None]
"""Line of a step -> what it takes from a lock; None: that is not certain."""


def _use(recipe: Recipe, lock: str, known: _Known) -> LockUse | None:
    try:
        return _union(list(_uses(recipe, lock, lock, known)))
    except UnprovedError:
        return None


def selection_from(recipe: Recipe, lock: ContextFile) -> Selection | None:
    """Return what the steps of an image take from a lock; None if that is not certain."""
    if isinstance(lock.excerpt, LockExcerpt):
        return lock.excerpt.selection
    use = use_of_lock(recipe, lock.path)
    return use.selection if use else None


def locked_requirements(
    selection: Selection | None, content: bytes, *, whole: bool
) -> tuple[str, ...] | None:
    """Return the requirements that a lock pins; None if it cannot be read.

    whole: whether those count as well that no step of the image takes. They are marked.
    """
    try:
        lock = read_uv_lock(content.decode("utf-8"))
        if selection is None:
            return masked(lock.all_pinned())
        used = lock.pinned(selection)
        known = set(used)
        rest = (line for line in lock.all_pinned() if line not in known) if whole else ()
        return masked((*used, *(line + NOT_USED for line in rest)))
    except (UnicodeDecodeError, UnusualLockError):
        return None


def with_excerpts(
    context: Context, recipe: Recipe, read: Callable[[str], bytes], derived: Derived
) -> Context:
    """Return the context with excerpts instead of locks and project files, where steps need no more.

    read: returns the content of a file. Raises OSError.
    """
    locks = {rooted(path) for each in recipe.sources for path in each.paths or () if path.endswith(UV_LOCK)}
    paths = {file.path for file in context.files} if locks else set()
    made: dict[str, LockExcerpt | ProjectExcerpt] = {}
    for lock in sorted(locks & paths):
        folder = posixpath.dirname(lock)
        known: _Known = {}
        use = _use(recipe, lock, known)
        if use is None:
            continue
        projects = _projects(paths, folder)
        if use.frozen:
            made[lock] = LockExcerpt(replace(use.selection, folders=frozenset(projects)))
        if use.only_outside or (use.without_project and projects.keys() == {"."}):
            made |= {
                path: ProjectExcerpt()
                for path in projects.values()
                if _is_read_by_uv(recipe, path, lock, known)
            }
    if not made:
        return context
    files = (
        _with_excerpt(file, made[file.path], read, derived) if file.path in made else file
        for file in context.files
    )
    return replace(context, files=tuple(files))


def _projects(paths: set[str], folder: str) -> Mapping[str, str]:
    """Return the project files at and below a folder: their folder, relative to it -> path."""
    below = [path for path in paths if posixpath.basename(path) == _PYPROJECT]
    inside = [path for path in below if not folder or path.startswith(f"{folder}/")]
    return {posixpath.relpath(posixpath.dirname(path) or ".", folder or "."): path for path in inside}


def _is_read_by_uv(recipe: Recipe, path: str, lock: str, known: _Known) -> bool:
    try:
        return bool(list(_uses(recipe, path, lock, known)))
    except UnprovedError:
        return False


def _with_excerpt(
    file: ContextFile, make: LockExcerpt | ProjectExcerpt, read: Callable[[str], bytes], derived: Derived
) -> ContextFile:
    if file.kind not in {"file", "exec"}:
        return file

    def derive(raw: bytes) -> Json:
        text = make(raw)
        return None if text == raw else [hashlib.sha256(text).hexdigest(), len(text)]

    try:
        found = derived.value(make.how, file.sha256, lambda: read(file.path), derive)
    except OSError:
        return file
    if found is None:
        return file
    sha256, size = cast("tuple[str, int]", found)
    return file._replace(sha256=sha256, size=size, excerpt=make)


def _union(uses: Sequence[LockUse]) -> LockUse:
    if not uses:
        raise UnprovedError
    found = uses[0]
    for each in uses[1:]:
        if bool(found.selection.members) != bool(each.selection.members):
            raise UnprovedError
        found = found.plus(each)
    return found


def _uses(recipe: Recipe, path: str, lock: str, known: _Known) -> Iterator[LockUse]:
    """Yield the uses of a lock by every step that sees a file. Raises UnprovedError if anything else does."""
    for stage in recipe.stages:
        for source in stage.sources:
            if source.context is not None or not _takes(source, path):
                continue
            found = [each for each in stage.stage.instructions if each.line == source.line]
            if len(found) != 1 or found[0].name != "RUN" or found[0].origin or source.paths is None:
                raise UnprovedError
            if [rooted(each) for each in source.paths] != [path]:
                raise UnprovedError
            if source.line not in known:
                known[source.line] = None
                known[source.line] = tuple(_uses_of_step(recipe, stage, found[0], lock))
            uses = known[source.line]
            if uses is None:
                raise UnprovedError
            yield from uses


def _takes(source: SourceFiles, path: str) -> bool:
    """Whether a source may take a file."""
    if source.paths is None:
        return True
    above = [path]
    while above[-1]:
        above.append(posixpath.dirname(above[-1]))
    for each in source.paths:
        place = rooted(each.replace("/./", "/"))
        try:
            if place in above or (
                is_wildcard(place) and any(compile_wildcard(place, deep=True).fullmatch(one) for one in above)
            ):
                return True
        except PatternError:
            return True
    return False


def _uses_of_step(recipe: Recipe, stage: ResolvedStage, run: Instruction, lock: str) -> Iterator[LockUse]:
    starts = [each.content.lstrip().startswith("#!") for each in run.heredocs]
    if run.heredocs and not all(_HEREDOC.fullmatch(word) for word in " ".join(run.words).split()):
        raise UnprovedError
    before = [*_before(recipe, stage, run)]
    if any(starts) or run.json or any(each.name == "SHELL" for each in before):
        raise UnprovedError
    if not _is_in_workdir(run, lock, _workdir(before)):
        raise UnprovedError
    environment: dict[str, str | None] = {}
    for each in before:
        if each.name == "ENV":
            environment |= dict(zip(each.words[::2], each.words[1::2], strict=False))
    for one in recipe.stages:
        environment |= dict(one.args) if one in (stage, *_below(recipe, stage)) else {}
    check_variables(environment)
    commands = read_script(recipe.dockerfile, run).commands
    uses = list(lock_uses(commands, environment))
    if not uses:
        raise UnprovedError
    yield from uses


def _below(recipe: Recipe, stage: ResolvedStage) -> Iterator[ResolvedStage]:
    """Yield the stages of the Dockerfile that a stage is FROM, nearest first."""
    by_index = {each.stage.index: each for each in recipe.stages}
    parent = recipe.dockerfile.stage(stage.base)
    while parent is not None and parent.index < stage.stage.index and parent.index in by_index:
        stage = by_index[parent.index]
        yield stage
        parent = recipe.dockerfile.stage(stage.base)


def _before(recipe: Recipe, stage: ResolvedStage, run: Instruction) -> Iterator[Instruction]:
    """Yield the instructions that take effect before a step, in their order."""
    for each in reversed([*_below(recipe, stage)]):
        yield from each.stage.instructions
    for instruction in stage.stage.instructions:
        if instruction is run:
            return
        yield instruction


def _workdir(before: Sequence[Instruction]) -> str | None:
    """Return the working folder, or None if it is not known."""
    place: str | None = None
    for each in before:
        if each.name == "WORKDIR":
            word = each.words[0]
            known = word.startswith("/") or place is not None
            place = posixpath.normpath(posixpath.join(place or "/", word)) if known else None
            if "$" in word:
                place = None
    return place


def _is_in_workdir(run: Instruction, lock: str, workdir: str | None) -> bool:
    """Whether a step finds the lock, by one mount that is read-only, in its working folder."""
    targets = []
    for flag in run.flags_of("mount"):
        options = dict(mount_options(flag))
        source = rooted(options.get("source", options.get("src", "/")))
        if options.get("type", "bind").lower() == "bind" and "from" not in options and source == lock:
            writable = options.get("rw", options.get("readwrite", "false")).lower() != "false"
            targets.append("" if writable else options.get("target", options.get("dst", "")))
    if len(targets) != 1:
        return False
    target = posixpath.normpath(targets[0]) if targets[0] else ""
    return target == UV_LOCK or (workdir is not None and target == posixpath.join(workdir, UV_LOCK))
