"""The context of an image: exactly the files that its Dockerfile can read."""

from __future__ import annotations

import difflib
import hashlib
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from lamina.declare.recipe import Recipe, Source
from lamina.identify.ignore import EMPTY, Folder, Ignore, Rule
from lamina.identify.tree import Entry, FileKind, Files

DEFAULT_EXCLUDES = (
    ".git",
    ".lamina",
    "__pycache__",
    "*.pyc",
    ".venv",
    ".nox",
    ".tox",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    "node_modules",
    "*.egg-info",
    ".DS_Store",
)
_MOST_LINKS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextFile:
    """A file that can reach the image. sha256: of the content, of a link's target, empty for a folder."""

    path: str
    kind: FileKind
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A source that finds nothing. hidden_by: the rule without which it would; nearest: a name like it."""

    source: Source
    path: str
    hidden_by: Rule | None = None
    nearest: str | None = None
    fault: str | None = None
    """What else is wrong with it: outside the context, a link that leaves it, unreadable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """All files of one context that can reach the image, by path; and the sources that found none."""

    files: tuple[ContextFile, ...]
    missing: tuple[Missing, ...]
    ignore: Ignore

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(each.size for each in self.files)


def select(files: Files, recipe: Recipe, ignore: Ignore, *, name: str | None = None) -> Context:
    """The files that the recipe reads from one context: the main one, or the named one.

    Follows COPY, ADD and bind mounts as BuildKit does: wildcards, folders, links at the source.
    A source that cannot be known takes the whole (filtered) context.
    """
    sources = tuple(source for source in recipe.sources if source.context == name)
    return _Selector(files, with_defaults(ignore, sources)).run(sources)


def with_defaults(ignore: Ignore, sources: tuple[Source, ...]) -> Ignore:
    """The rules and, last, `DEFAULT_EXCLUDES`, but for what a ``!`` rule or a source asks for by name."""
    named = {part for source in sources for path in source.paths or () for part in path.split("/")}
    named |= {rule.pattern.rsplit("/", 1)[-1] for rule in ignore.rules if rule.negated}
    return ignore.plus(f"**/{each}" for each in DEFAULT_EXCLUDES if each not in named)


class _Selector:
    def __init__(self, files: Files, ignore: Ignore) -> None:
        self._files = files
        self._ignore = ignore
        self._found: dict[str, ContextFile] = {}
        self._missing: list[Missing] = []

    def run(self, sources: tuple[Source, ...]) -> Context:
        for source in sources:
            for path in (".",) if source.paths is None else source.paths:
                self._take(source, path)
        return Context(
            files=tuple(self._found[path] for path in sorted(self._found, key=_bytes)),
            missing=tuple(self._missing),
            ignore=self._ignore,
        )

    def _take(self, source: Source, written: str) -> None:
        """Everything that one source path finds."""
        path = posixpath.normpath(written.lstrip("/") or ".")
        if path == ".." or path.startswith("../"):
            self._miss(source, written, fault="is outside the context")
            return
        path = "" if path == "." else path
        try:
            if _is_wildcard(path):
                matches = list(self._glob(path, deep=source.parents))
                for match in matches:
                    self._take_path(source, match, match)
                if not matches:
                    self._explain(source, path, written)
            else:
                self._take_path(source, path, written)
        except OSError as error:
            self._miss(source, written, fault=f"cannot be read: {error.filename}: {error.strerror}")

    def _take_path(self, source: Source, path: str, written: str) -> None:
        """A path without wildcards: through links, then the file or all of the folder."""
        place = self._follow(source, path, written)
        if place is None:
            return
        entry = self._files.entry(place)
        if entry is None or self._hidden(place, entry):
            self._explain(source, place, written)
        elif entry.kind == "dir":
            if not self._walk(self._ignore.folder(place)) and self._hides(place):
                self._explain(source, place, written)
            else:
                self._add(entry)
        else:
            self._add(entry)

    def _follow(self, source: Source, path: str, written: str) -> str | None:
        """The path with every link on the way followed; the links belong to the context as well."""
        done, todo, hops = "", [part for part in path.split("/") if part], 0
        while todo:
            step = posixpath.join(done, todo.pop(0))
            entry = self._files.entry(step)
            if entry is None or entry.kind != "link":
                done = step
                continue
            hops += 1
            if not self._hides(step):
                self._add(entry)
            target = posixpath.normpath(posixpath.join(posixpath.dirname(step), entry.target or ""))
            if target.startswith(("../", "/")) or target == ".." or hops > _MOST_LINKS:
                reason = "goes round in circles" if hops > _MOST_LINKS else "leads out of the context"
                self._miss(source, written, fault=f"passes the link {step} -> {entry.target}, which {reason}")
                return None
            todo = [part for part in target.split("/") if part not in {"", "."}] + todo
            done = ""
        return done

    def _glob(self, pattern: str, *, deep: bool) -> Iterator[str]:
        """The paths that match a wildcard, not below one another. Go's filepath.Match, a part at a time."""
        compiled = _compiled(pattern, deep=deep)
        fixed = pattern.split("/")
        depth = next(index for index, part in enumerate(fixed) if _is_wildcard(part))
        most = None if deep and "**" in pattern else len(fixed)
        stack = ["/".join(fixed[:depth])]
        while stack:
            directory = stack.pop()
            entry = self._files.entry(directory)
            if entry is None or entry.kind != "dir":
                continue
            for child in self._files.children(directory):
                if compiled.fullmatch(child.path):
                    if not self._hidden(child.path, child):
                        yield child.path
                elif child.kind == "dir" and (most is None or child.path.count("/") + 1 < most):
                    stack.append(child.path)

    def _walk(self, folder: Folder) -> bool:
        """Take every file and folder below that is not hidden; whether there was any."""
        any_taken = False
        for child in self._files.children(folder.path) if folder.walked else ():
            name = posixpath.basename(child.path)
            if child.kind == "dir":
                below = folder.enter(name)
                if not self._walk(below) and below.hidden_by:
                    continue
            elif folder.hides(name):
                continue
            self._add(child)
            any_taken = True
        return any_taken

    def _hides(self, path: str) -> bool:
        return bool(path) and self._ignore.hides(path) is not None

    def _hidden(self, path: str, entry: Entry) -> bool:
        """Whether nothing of it is sent: a hidden folder may still hold files that are not."""
        return self._hides(path) and not (entry.kind == "dir" and self._ignore.may_reinclude_below(path))

    def _add(self, entry: Entry) -> None:
        if entry.path in self._found or not entry.path:
            return
        digest = ""
        if entry.kind in {"file", "exec"}:
            digest = self._files.sha256(entry)
        elif entry.kind == "link":
            digest = _sha256_of_text(entry.target or "")
        elif entry.kind == "other":
            raise OSError(0, "is neither a file, a folder nor a link", entry.path)
        self._found[entry.path] = ContextFile(
            path=entry.path, kind=entry.kind, sha256=digest, size=entry.size
        )

    def _explain(self, source: Source, path: str, written: str) -> None:
        """Note a source that finds nothing: hidden by a rule, or not there but perhaps misspelt."""
        entry = None if _is_wildcard(path) else self._files.entry(path)
        rule = self._ignore.hides(path) if entry is not None else self._rule_behind(path)
        nearest = None if rule else self._nearest(path)
        self._missing.append(Missing(source=source, path=written, hidden_by=rule, nearest=nearest))

    def _rule_behind(self, pattern: str) -> Rule | None:
        """The rule that hides what a wildcard would find without it."""
        if not _is_wildcard(pattern):
            return None
        bare = _Selector(self._files, EMPTY)
        first = next(iter(bare._glob(pattern, deep=True)), None)
        return self._ignore.hides(first) if first else None

    def _nearest(self, path: str) -> str | None:
        """The path below the deepest folder that exists whose name is most like the one written."""
        parts = path.split("/")
        folder = ""
        for index, part in enumerate(parts):
            step = posixpath.join(folder, part)
            if self._files.entry(step) is None:
                names = {posixpath.basename(child.path): child.path for child in self._files.children(folder)}
                near = difflib.get_close_matches(part, names, n=1, cutoff=0.5)
                return "/".join((names[near[0]], *parts[index + 1 :])) if near else None
            folder = step
        return None

    def _miss(self, source: Source, written: str, *, fault: str) -> None:
        self._missing.append(Missing(source=source, path=written, fault=fault))


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _sha256_of_text(text: str) -> str:
    return hashlib.sha256(_bytes(text)).hexdigest()


def _is_wildcard(path: str) -> bool:
    return any(char in path for char in "*?[\\")


@cache
def _compiled(pattern: str, *, deep: bool) -> re.Pattern[str]:
    """A pattern of Go's filepath.Match as a regular expression; ``**`` spans folders when deep."""
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if deep and pattern.startswith("**/", at):
            out.append("(?:.*/)?")
            at += 3
            continue
        if char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "\\" and at + 1 < len(pattern):
            at += 1
            out.append(re.escape(pattern[at]))
        elif char == "[" and "]" in pattern[at + 2 :]:
            end = pattern.index("]", at + 2)
            inner = pattern[at + 1 : end]
            negated = "^" if inner.startswith("^") else ""
            out.append(f"[{negated}{re.escape(inner.removeprefix('^')).replace(chr(92) + '-', '-')}]")
            at = end
        else:
            out.append(re.escape(char))
        at += 1
    return re.compile("".join(out), re.DOTALL)
