"""Select the context of an image: exactly the files that its Dockerfile can read."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from lamina.declare.recipe import Recipe, SourceFiles
from lamina.errors import nearest
from lamina.identify.copy_sources import CopySource, Filter, rooted
from lamina.identify.excludes import with_defaults
from lamina.identify.goregexp import PatternError
from lamina.identify.ignore import Folder, Ignore, IgnoreRule
from lamina.identify.shared import Shared
from lamina.identify.transfer_set import TransferSet, within
from lamina.identify.tree import FileKind, Files, TreeEntry
from lamina.identify.wildcard import compile_wildcard, fixed_part
from lamina.values import dataclass

CHANGED = "changed while it was being read"
"""What is wrong with a file that was saved after it was hashed."""
_MOST_LINKS = 255
_UNSENT = (
    "BuildKit reads source names as patterns, follows a shared link for one source only, "
    "and follows no link behind a folder with a wildcard"
)


class ContextFile(NamedTuple):
    """A file that can reach the image. sha256: of the content or a link's target; empty for a folder.

    excerpt: makes the content that counts from the file's, if that is only a part of it.
    """

    # A plan creates one for every file. A tuple takes a third of a dataclass's time.
    path: str
    kind: FileKind
    sha256: str
    size: int
    excerpt: Callable[[bytes], bytes] | None = None


SharedFolders = Shared[Mapping[str, ContextFile]]
"""What images with the same rules find below a folder: path -> file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A source without a match.

    Attributes:
        hidden_by: the rule that excludes one.
        nearest: a similar existing path.
    """

    source: SourceFiles
    path: str
    hidden_by: IgnoreRule | None = None
    nearest: str | None = None
    fault: str | None = None
    """Another problem: outside the context, a link that leaves it, unreadable."""
    optional: bool = False
    """Whether the build succeeds anyway: a wildcard may match nothing in a folder that is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """All files of one context that can reach the image, sorted by path; and sources without a match."""

    files: tuple[ContextFile, ...]
    missing: tuple[Missing, ...]
    ignore: Ignore

    @property
    def size(self) -> int:
        """The total size of all files in bytes."""
        return sum(each.size for each in self.files)


def select(
    files: Files,
    recipe: Recipe,
    ignore: Ignore,
    *,
    name: str | None = None,
    shared: SharedFolders | None = None,
) -> Context:
    """Select the files that the recipe reads from one context.

    Like BuildKit, it follows COPY, ADD and bind mounts with wildcards, folders, links in the source path,
    ``--exclude`` and ``--parents``. A source with an unknown path takes the whole (filtered) context.

    Args:
        name: A named context; None for the main one.
        shared: What other images of the run have found out.
    """
    shared = shared or SharedFolders()
    sources = tuple(source for source in recipe.sources if source.context == name)
    ignore = with_defaults(ignore, sources)
    # The main context is sent once, a named one for each instruction that reads it.
    together = [sources] if name is None else [(source,) for source in sources]
    selected = [_Selector(files, ignore, _sent(files, group), shared).run(group) for group in together]
    found = {file.path: file for each in selected for file in each.files}
    return Context(
        files=tuple(found[path] for path in sorted(found, key=None if _is_ascii(found) else _bytes)),
        missing=tuple(missing for each in selected for missing in each.missing),
        ignore=ignore,
    )


def _sent(files: Files, sources: tuple[SourceFiles, ...]) -> TransferSet:
    return TransferSet(files, (rooted(path) for source in sources for path in source.paths or (".",)))


class _Selector:
    def __init__(self, files: Files, ignore: Ignore, sent: TransferSet, shared: SharedFolders) -> None:
        self._shared = shared
        self._files = files
        self._ignore = ignore
        self._sent = sent
        self._found: dict[str, ContextFile] = {}
        self._missing: list[Missing] = []
        self._looked_in: dict[int, str] = {}
        """Index of a missing wildcard -> the folder it searches."""

    def run(self, sources: tuple[SourceFiles, ...]) -> Context:
        for source in sources:
            for path in source.paths or (".",):
                self._take(source, path)
        for index, folder in self._looked_in.items():
            self._missing[index] = replace(self._missing[index], optional=self._has_folder(folder))
        return Context(files=tuple(self._found.values()), missing=tuple(self._missing), ignore=self._ignore)

    def _has_folder(self, folder: str) -> bool:
        """Whether BuildKit has the folder that a wildcard searches. If so, no match is not an error."""
        if not folder or any(path == folder or path.startswith(f"{folder}/") for path in self._found):
            return True
        entry = self._files.entry(folder)
        if (
            entry is None
            or entry.kind != "dir"
            or not (self._is_included(entry) and self._sent.holds(folder))
        ):
            return False
        self._add(entry)
        self._take_leading_links(folder)
        return True

    def _take(self, source: SourceFiles, written: str) -> None:
        """Take everything that one source path matches."""
        try:
            copy = CopySource.read(source, written)
            if copy.is_wildcard:
                self._take_matches(copy)
            else:
                self._take_path(copy, copy.path)
        except PatternError as error:
            self._miss(source, written, fault=f"is a malformed pattern: {error}")
        except OSError as error:
            self._miss(source, written, fault=f"cannot be read: {error.filename}: {error.strerror}")

    def _take_matches(self, copy: CopySource) -> None:
        """Take everything that a wildcard matches. It searches one folder, which may be a link."""
        fixed = fixed_part(copy.path)
        pattern = copy.path[len(fixed) :].lstrip("/")
        folder = self._follow(copy, fixed)
        if folder is None:
            return
        is_sent = copy.is_sent and folder == fixed
        found = list(self._glob(folder, pattern))
        matches = [
            each.path
            for each in found
            if self._is_included(each) and (is_sent or self._sent.reaches(each.path))
        ]
        for match in matches:
            self._take_path(replace(copy, written=match, is_sent=is_sent), match)
        if not matches:
            rule = self._ignore.hides(found[0].path) if found else None
            nearest = None if rule else self._nearest(posixpath.join(folder, pattern))
            self._looked_in[len(self._missing)] = folder
            self._missing.append(
                Missing(source=copy.source, path=copy.written, hidden_by=rule, nearest=nearest)
            )

    def _take_path(self, copy: CopySource, path: str) -> None:
        """Take a path without wildcards: follow links, then take the file or the whole folder."""
        place = self._follow(copy, path)
        if place is None:
            return
        entry = self._files.entry(place)
        is_certain = copy.is_sent and place == path
        is_sent = is_certain or self._sent.holds(place)
        if not is_certain:
            self._take_leading_links(place)
        if entry is None or self._hidden(place, entry):
            self._explain(copy, place)
        elif not is_sent and not self._sent.reaches(place):
            why = self._sent.fault or _UNSENT
            self._miss(copy.source, copy.written, fault=f"leads to {place or '.'}, which is not sent: {why}")
        elif entry.kind != "dir":
            self._add(entry)
        else:
            self._take_folder(copy, entry, self._filters(copy, place, is_sent=is_sent))

    def _take_leading_links(self, place: str) -> None:
        """Take the links that cause a path to be sent, although no source names them."""
        for path in self._sent.links_leading_to(place):
            link = self._files.entry(path)
            if link is not None and not self._hides(path):
                self._add(link)

    def _filters(self, copy: CopySource, place: str, *, is_sent: bool) -> list[Filter]:
        """Return the filters for the names in a folder; none if everything in the context counts."""
        sent = None if is_sent else self._sent.patterns
        candidates = (("", copy.only, True), ("", copy.less, False), (place, sent, True))
        return [Filter.at(base, patterns, match=match) for base, patterns, match in candidates if patterns]

    def _take_folder(self, copy: CopySource, entry: TreeEntry, filters: list[Filter]) -> None:
        """Take the part of a folder that ``--parents``, ``--exclude`` and the transfer set let through."""
        folder = self._ignore.folder(entry.path)
        if filters:
            found = self._walk(folder, filters)
        else:
            found = self._shared.walked(self._files, self._ignore, entry.path, lambda: self._walk(folder))
        self._found.update(found)
        if folder.hidden_by and not found and not self._holds(folder):
            self._explain(copy, entry.path)
            return
        self._add(entry)
        if copy.only is not None and not found:
            nothing = None if copy.only.rules else "matches nothing with --parents: name its contents, or *"
            self._missing.append(Missing(source=copy.source, path=copy.written, fault=nothing, optional=True))

    def _walk(self, folder: Folder, filters: Sequence[Filter] = ()) -> Mapping[str, ContextFile]:
        return {entry.path: self._read(entry) for entry in self._included(folder, filters)}

    def _included(self, folder: Folder, filters: Sequence[Filter] = ()) -> Iterator[TreeEntry]:
        """Yield every entry below a folder that no rule excludes and all filters let through.

        An excluded folder is included if anything below it is. A folder that a filter stops may contain
        entries that pass.
        """
        start = len(folder.path) + 1 if folder.path else 0
        for child in self._files.children(folder.path) if folder.walked else ():
            name = child.path[start:]
            passes = not filters or all(each.passes(name) for each in filters)
            if child.kind != "dir":
                if passes and not folder.hides(name):
                    yield child
                continue
            below, entered = folder.enter(name), [each.enter(name) for each in filters]
            inside = False
            if passes and not below.hidden_by:
                yield child
            if not any(each.closed for each in entered):
                for each in self._included(below, entered):
                    yield each
                    inside = True
            if passes and below.hidden_by and (inside or (filters and self._holds(below))):
                yield child

    def _holds(self, folder: Folder) -> bool:
        """Whether an excluded folder contains anything that is included."""
        return next(self._included(folder), None) is not None

    def _follow(self, copy: CopySource, path: str) -> str | None:
        """Follow every link in a path and take the links. Return the final path, or None on a problem."""
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
                    copy.source,
                    copy.written,
                    fault=f"uses the link {last.path} -> {last.target}, which leads out of the context",
                )
                return None
            if entry is None or entry.kind != "link":
                done = step
                continue
            hops += 1
            if self._hides(step):
                self._explain(copy, step)
                return None
            self._add(entry)
            first = first or entry
            if hops > _MOST_LINKS:
                fault = f"uses the link {first.path} -> {first.target}, which leads in a circle"
                self._miss(copy.source, copy.written, fault=fault)
                return None
            last = entry
            todo = [part for part in within(step, entry.target or "").split("/") if part] + todo
            done = ""
        return done

    def _glob(self, folder: str, pattern: str) -> Iterator[TreeEntry]:
        """Yield entries below a folder that match a wildcard. Matches and links are not entered."""
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
                    yield child
                elif child.kind == "dir" and below.count("/") < levels:
                    stack.append(child.path)

    def _hides(self, path: str) -> bool:
        return bool(path) and self._ignore.hides(path) is not None

    def _hidden(self, path: str, entry: TreeEntry) -> bool:
        """Whether nothing of an entry is sent. An excluded folder may contain re-included files."""
        return self._hides(path) and not (entry.kind == "dir" and self._ignore.may_reinclude_below(path))

    def _is_included(self, entry: TreeEntry) -> bool:
        """Whether an entry is included. An excluded folder is if anything below it is."""
        if not self._hides(entry.path):
            return True
        return not self._hidden(entry.path, entry) and self._holds(self._ignore.folder(entry.path))

    def _add(self, entry: TreeEntry) -> None:
        if entry.path and entry.path not in self._found:
            self._found[entry.path] = self._read(entry)

    def _read(self, entry: TreeEntry) -> ContextFile:
        path, kind = entry.path, entry.kind
        digest = ""
        if kind in {"file", "exec"}:
            digest = self._files.sha256(entry)
        elif kind == "link":
            digest = _sha256_of_text(entry.target or "")
        elif kind == "other":
            raise OSError(0, f"is {entry.target or kind}, not a file, a folder or a link", path)
        return tuple.__new__(ContextFile, (path, kind, digest, entry.size, None))  # half of ContextFile()

    def _explain(self, copy: CopySource, path: str) -> None:
        """Record a source that matches nothing: excluded by a rule, missing, or misspelt."""
        rule = self._ignore.hides(path) if self._files.entry(path) is not None else None
        nearest = None if rule else self._nearest(path)
        outside = rule is None and _is_above(copy.written.lstrip("/"))
        fault = "is outside the context" if outside else None
        self._missing.append(
            Missing(source=copy.source, path=copy.written, hidden_by=rule, nearest=nearest, fault=fault)
        )

    def _nearest(self, path: str) -> str | None:
        """Return the path with its first missing part replaced by the most similar existing name."""
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
    """Whether a path leaves the context if its root is not treated as ``/``."""
    normal = posixpath.normpath(path)
    return normal == ".." or normal.startswith(("/", "../"))


def _is_ascii(paths: Iterable[str]) -> bool:
    """Whether the order of the texts is that of their bytes; that of escaped bytes is not."""
    return "".join(paths).isascii()


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _sha256_of_text(text: str) -> str:
    return hashlib.sha256(_bytes(text)).hexdigest()
