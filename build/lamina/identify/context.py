"""The context of an image: exactly the files that its Dockerfile can read."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import NamedTuple

from lamina.declare.recipe import Recipe, SourceFiles
from lamina.errors import nearest
from lamina.identify.copy_sources import CopySource, Filter, rooted
from lamina.identify.goregexp import PatternError
from lamina.identify.ignore import EMPTY, Folder, Ignore, IgnoreRule
from lamina.identify.transfer_set import TransferSet, within
from lamina.identify.tree import FileKind, Files, TreeEntry
from lamina.identify.wildcard import compile_wildcard, fixed_part

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
BY_DEFAULT = "the default excludes"
_MOST_LINKS = 255
_UNSENT = (
    "BuildKit takes names as patterns, follows a link for one of several sources alone, "
    "and none behind a folder with a wildcard"
)


class ContextFile(NamedTuple):
    """A file that can reach the image. sha256: of the content, of a link's target, empty for a folder."""

    # One for every file of every plan: a tuple takes a third of a dataclass's time.
    path: str
    kind: FileKind
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A source that finds nothing. hidden_by: the rule without which it would; nearest: a name like it."""

    source: SourceFiles
    path: str
    hidden_by: IgnoreRule | None = None
    nearest: str | None = None
    fault: str | None = None
    """What else is wrong with it: outside the context, a link that leaves it, unreadable."""
    optional: bool = False
    """Whether the build survives it: a wildcard may find nothing, in a folder of which anything is sent."""


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

    Follows COPY, ADD and bind mounts as BuildKit does: wildcards, folders, links at the source, what
    ``--exclude`` leaves out and ``--parents`` lets in.
    A source that cannot be known takes the whole (filtered) context.
    """
    sources = tuple(source for source in recipe.sources if source.context == name)
    ignore = with_defaults(ignore, sources)
    # The main context is sent once, a named one for each instruction that reads it.
    together = [sources] if name is None else [(source,) for source in sources]
    selected = [_Selector(files, ignore, _sent(files, group)).run(group) for group in together]
    found = {file.path: file for each in selected for file in each.files}
    return Context(
        files=tuple(found[path] for path in sorted(found, key=_bytes)),
        missing=tuple(missing for each in selected for missing in each.missing),
        ignore=ignore,
    )


def _sent(files: Files, sources: tuple[SourceFiles, ...]) -> TransferSet:
    return TransferSet(files, (rooted(path) for source in sources for path in source.paths or (".",)))


def with_defaults(ignore: Ignore, sources: tuple[SourceFiles, ...]) -> Ignore:
    """The rules and, last, `DEFAULT_EXCLUDES`, but for what a ``!`` rule or a source asks for by name."""
    named = {part for source in sources for path in source.paths or () for part in path.split("/")}
    named |= {part for rule in ignore.rules if rule.negated for part in rule.pattern.split("/")}
    unasked = (each for each in DEFAULT_EXCLUDES if not any(fnmatchcase(part, each) for part in named))
    return ignore.plus((f"**/{each}" for each in unasked), BY_DEFAULT)


class _Selector:
    def __init__(self, files: Files, ignore: Ignore, sent: TransferSet) -> None:
        self._files = files
        self._ignore = ignore
        self._sent = sent
        self._found: dict[str, ContextFile] = {}
        self._missing: list[Missing] = []
        self._looked_in: dict[int, str] = {}
        """Index of a missing wildcard -> the folder where it looked."""

    def run(self, sources: tuple[SourceFiles, ...]) -> Context:
        for source in sources:
            for path in source.paths or (".",):
                self._take(source, path)
        for index, folder in self._looked_in.items():
            self._missing[index] = replace(self._missing[index], optional=self._is_there(folder))
        return Context(files=tuple(self._found.values()), missing=tuple(self._missing), ignore=self._ignore)

    def _is_there(self, folder: str) -> bool:
        """Whether BuildKit has the folder that a wildcard looks into, where it then may find nothing."""
        if not folder or any(path == folder or path.startswith(f"{folder}/") for path in self._found):
            return True
        entry = self._files.entry(folder)
        if entry is None or entry.kind != "dir" or not (self._is_sent(entry) and self._sent.holds(folder)):
            return False
        self._add(entry)
        self._thank(folder)
        return True

    def _take(self, source: SourceFiles, written: str) -> None:
        """Everything that one source path finds."""
        try:
            asked = CopySource.read(source, written)
            if asked.is_wildcard:
                self._take_matches(asked)
            else:
                self._take_path(asked, asked.path)
        except PatternError as error:
            self._miss(source, written, fault=f"is a malformed pattern: {error}")
        except OSError as error:
            self._miss(source, written, fault=f"cannot be read: {error.filename}: {error.strerror}")

    def _take_matches(self, asked: CopySource) -> None:
        """What a wildcard finds: it looks into one folder, which a link may stand for."""
        fixed = fixed_part(asked.path)
        pattern = asked.path[len(fixed) :].lstrip("/")
        folder = self._follow(asked, fixed)
        if folder is None:
            return
        is_sent = asked.is_sent and folder == fixed
        matches = [each for each in self._glob(folder, pattern) if is_sent or self._sent.reaches(each)]
        for match in matches:
            self._take_path(replace(asked, written=match, is_sent=is_sent), match)
        if not matches:
            first = next(
                _Selector(self._files, EMPTY, TransferSet(self._files, [""]))._glob(folder, pattern), None
            )
            rule = self._ignore.hides(first) if first else None
            nearest = None if rule else self._nearest(posixpath.join(folder, pattern))
            self._looked_in[len(self._missing)] = folder
            self._missing.append(
                Missing(source=asked.source, path=asked.written, hidden_by=rule, nearest=nearest)
            )

    def _take_path(self, asked: CopySource, path: str) -> None:
        """A path without wildcards: through links, then the file or all of the folder."""
        place = self._follow(asked, path)
        if place is None:
            return
        entry = self._files.entry(place)
        is_certain = asked.is_sent and place == path
        is_sent = is_certain or self._sent.holds(place)
        if not is_certain:
            self._thank(place)
        if entry is None or self._hidden(place, entry):
            self._explain(asked, place)
        elif not is_sent and not self._sent.reaches(place):
            why = self._sent.fault or _UNSENT
            self._miss(
                asked.source, asked.written, fault=f"leads to {place or '.'}, which is not sent: {why}"
            )
        elif entry.kind != "dir":
            self._add(entry)
        elif filters := self._filters(asked, place, is_sent=is_sent):
            self._take_some(asked, entry, filters)
        elif not self._walk(self._ignore.folder(place)) and self._hides(place):
            self._explain(asked, place)
        else:
            self._add(entry)

    def _thank(self, place: str) -> None:
        """Take the links that a place is sent for, though no source asks for them."""
        for path in self._sent.links_leading_to(place):
            link = self._files.entry(path)
            if link is not None and not self._hides(path):
                self._add(link)

    def _filters(self, asked: CopySource, place: str, *, is_sent: bool) -> list[Filter]:
        """What holds for the names in a folder, where not all that is in the context counts."""
        sent = None if is_sent else self._sent.patterns
        wanted = (("", asked.only, True), ("", asked.less, False), (place, sent, True))
        return [Filter.at(base, patterns, match=match) for base, patterns, match in wanted if patterns]

    def _take_some(self, asked: CopySource, entry: TreeEntry, filters: list[Filter]) -> None:
        """Of a folder what ``--parents`` lets in and ``--exclude`` does not leave out."""
        folder = self._ignore.folder(entry.path)
        found = self._walk_some(folder, filters)
        if folder.hidden_by and not self._holds(folder):
            self._explain(asked, entry.path)
            return
        self._add(entry)
        if asked.only is not None and not found:
            nothing = None if asked.only.rules else "is nothing with --parents: name what is in it, or *"
            self._missing.append(
                Missing(source=asked.source, path=asked.written, fault=nothing, optional=True)
            )

    def _walk_some(self, folder: Folder, filters: list[Filter]) -> bool:
        """As `_walk`, for what passes the filters; a folder that does not may yet hold what does."""
        any_taken = False
        for child in self._files.children(folder.path) if folder.walked else ():
            name = posixpath.basename(child.path)
            wanted = all(each.passes(name) for each in filters)
            if child.kind == "dir":
                below, entered = folder.enter(name), [each.enter(name) for each in filters]
                inside = not any(each.closed for each in entered) and self._walk_some(below, entered)
                any_taken = any_taken or inside
                wanted = wanted and (inside or not below.hidden_by or self._holds(below))
            else:
                wanted = wanted and not folder.hides(name)
            if wanted:
                self._add(child)
                any_taken = True
        return any_taken

    def _follow(self, asked: CopySource, path: str) -> str | None:
        """The path with every link on the way followed; the links belong to the context as well."""
        done, todo, hops = "", [part for part in path.split("/") if part], 0
        first = last = None
        while todo:
            step = posixpath.join(done, todo.pop(0))
            entry = self._files.entry(step)
            if (
                entry is None
                and last is not None
                and _is_above(posixpath.join(posixpath.dirname(last.path), last.target or ""))
            ):
                self._miss(
                    asked.source,
                    asked.written,
                    fault=f"passes the link {last.path} -> {last.target}, which leads out of the context",
                )
                return None
            if entry is None or entry.kind != "link":
                done = step
                continue
            hops += 1
            if self._hides(step):
                self._explain(asked, step)
                return None
            self._add(entry)
            first = first or entry
            if hops > _MOST_LINKS:
                fault = f"passes the link {first.path} -> {first.target}, which goes round in circles"
                self._miss(asked.source, asked.written, fault=fault)
                return None
            last = entry
            todo = [part for part in within(step, entry.target or "").split("/") if part] + todo
            done = ""
        return done

    def _glob(self, folder: str, pattern: str) -> Iterator[str]:
        """The paths below a folder that match a wildcard, not below one another. Links are not entered."""
        compiled = compile_wildcard(pattern, deep=False)
        levels = pattern.count("/")
        skipped = len(folder) + 1 if folder else 0
        stack = [folder]
        while stack:
            directory = stack.pop()
            entry = self._files.entry(directory)
            if entry is None or entry.kind != "dir":
                continue
            for child in self._files.children(directory):
                below = child.path[skipped:]
                if compiled.fullmatch(below):
                    if self._is_sent(child):
                        yield child.path
                elif child.kind == "dir" and below.count("/") < levels:
                    stack.append(child.path)

    def _walk(self, folder: Folder) -> bool:
        """Take every file and folder below that is not hidden; whether there was any."""
        any_taken = False
        skipped = len(folder.path) + 1 if folder.path else 0
        for child in self._files.children(folder.path) if folder.walked else ():
            name = child.path[skipped:]
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

    def _hidden(self, path: str, entry: TreeEntry) -> bool:
        """Whether nothing of it is sent: a hidden folder may still hold files that are not."""
        return self._hides(path) and not (entry.kind == "dir" and self._ignore.may_reinclude_below(path))

    def _is_sent(self, entry: TreeEntry) -> bool:
        """Whether any of it is sent."""
        if entry.kind != "dir" or not self._hides(entry.path):
            return not self._hides(entry.path)
        return self._ignore.may_reinclude_below(entry.path) and self._holds(self._ignore.folder(entry.path))

    def _holds(self, folder: Folder) -> bool:
        """Whether a hidden folder has anything that is not."""
        for child in self._files.children(folder.path) if folder.walked else ():
            name = posixpath.basename(child.path)
            if child.kind == "dir":
                below = folder.enter(name)
                if not below.hidden_by or self._holds(below):
                    return True
            elif not folder.hides(name):
                return True
        return False

    def _add(self, entry: TreeEntry) -> None:
        path, kind = entry.path, entry.kind
        if path in self._found or not path:
            return
        digest = ""
        if kind in {"file", "exec"}:
            digest = self._files.sha256(entry)
        elif kind == "link":
            digest = _sha256_of_text(entry.target or "")
        elif kind == "other":
            raise OSError(0, "is neither a file, a folder nor a link", path)
        self._found[path] = ContextFile(path, kind, digest, entry.size)

    def _explain(self, asked: CopySource, path: str) -> None:
        """Note a source that finds nothing: hidden by a rule, or not there but perhaps misspelt."""
        rule = self._ignore.hides(path) if self._files.entry(path) is not None else None
        nearest = None if rule else self._nearest(path)
        outside = rule is None and _is_above(asked.written.lstrip("/"))
        fault = "is outside the context" if outside else None
        self._missing.append(
            Missing(source=asked.source, path=asked.written, hidden_by=rule, nearest=nearest, fault=fault)
        )

    def _nearest(self, path: str) -> str | None:
        """The path below the deepest folder that exists whose name is most like the one written."""
        parts = path.split("/")
        folder = ""
        for index, part in enumerate(parts):
            step = posixpath.join(folder, part)
            if self._files.entry(step) is None:
                above = self._files.entry(folder)
                if above is None or above.kind != "dir":
                    return None
                names = {posixpath.basename(child.path): child.path for child in self._files.children(folder)}
                near = nearest(part, names)
                return "/".join((names[near], *parts[index + 1 :])) if near else None
            folder = step
        return None

    def _miss(self, source: SourceFiles, written: str, *, fault: str) -> None:
        self._missing.append(Missing(source=source, path=written, fault=fault))


def _is_above(path: str) -> bool:
    """Whether a path leaves the context, unless the context's root stands for all above it."""
    normal = posixpath.normpath(path)
    return normal == ".." or normal.startswith(("/", "../"))


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _sha256_of_text(text: str) -> str:
    return hashlib.sha256(_bytes(text)).hexdigest()
