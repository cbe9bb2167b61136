"""The entries of the layer that ``COPY --link`` makes from a context, without BuildKit.

It copies onto nothing, so its layer depends on the context, its words and its owner alone. Cases that are not
certain are refused; `CopyError` says why. Source: ``copy/copy.go`` of tonistiigi/fsutil.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Literal, NamedTuple

from lamina.identify.goregexp import PatternError
from lamina.identify.wildcard import compile_wildcard, fixed_part, is_wildcard
from lamina.values import dataclass

LayerKind = Literal["file", "exec", "link", "dir"]
_KINDS: Mapping[str, LayerKind] = {"f": "file", "x": "exec", "l": "link", "d": "dir"}


class CopyError(Exception):
    """Why it is not certain which layer a COPY makes."""


class LayerEntry(NamedTuple):
    """An entry of a layer.

    Attributes:
        path: Without a slash at either end.
        sha256: Of the content or a link's target; empty for a folder.
        source: The path in the context; empty for a folder that COPY creates.
    """

    path: str
    kind: LayerKind
    sha256: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyWords:
    """The words of a COPY, expanded. target: absolute, perhaps with a slash at its end."""

    sources: tuple[str, ...]
    target: str


class CopyTree:
    """The files of a context as BuildKit gets them."""

    def __init__(self, files: Mapping[str, str]) -> None:
        """Take the files of build inputs: path -> ``<f|x|l|d> <sha256>``."""
        self._entries: dict[str, LayerEntry] = {"": LayerEntry("", "dir")}
        for path, text in files.items():
            letter, _, sha256 = text.partition(" ")
            above = path.rpartition("/")[0]
            while above and above not in self._entries:
                self._entries[above] = LayerEntry(above, "dir", "", above)
                above = above.rpartition("/")[0]
            self._entries[path] = LayerEntry(path, _KINDS[letter], sha256, path)

    @cached_property
    def _children(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in self._entries:
            if path:
                found.setdefault(path.rpartition("/")[0], []).append(path)
        return {folder: sorted(paths, key=_bytes) for folder, paths in found.items()}

    def layer(self, words: CopyWords) -> tuple[LayerEntry, ...]:
        """Return the entries of a layer in the order of its tar. Raises CopyError."""
        made = _Layer()
        for written in words.sources:
            for source in self._matches(posixpath.normpath(f"/{written}").lstrip("/")):
                self._copy(made, source, words.target)
        if not made.entries:
            raise CopyError("it copies nothing")
        return tuple(sorted(made.entries.values(), key=lambda each: _walk_order(each.path)))

    def _matches(self, source: str) -> Iterable[str]:
        if not is_wildcard(source):
            if "\\" in source:
                raise CopyError(f"the source {source} has an escape")
            return [source]
        folder = fixed_part(source)
        self._at(folder)
        try:
            pattern = compile_wildcard(source[len(folder) :].lstrip("/"), deep=False)
        except PatternError as error:
            raise CopyError(f"the source {source} is a malformed pattern") from error
        return self._glob(folder, f"{folder}/" if folder else "", pattern.fullmatch)

    def _glob(self, folder: str, prefix: str, matches: object) -> Iterator[str]:
        """Yield matches in the order of a walk. What is below a match is part of it."""
        for path in self._children.get(folder, ()):
            if matches(path.removeprefix(prefix)):  # type: ignore[operator]
                yield path
            elif self._entries[path].kind == "dir":
                yield from self._glob(path, prefix, matches)

    def _at(self, source: str) -> LayerEntry:
        """Return what a source names. A link on the way is followed to files that are not certain."""
        parts = source.split("/")
        for end in range(1, len(parts) + 1):
            if (found := self._entries.get("/".join(parts[:end]))) and found.kind == "link":
                raise CopyError(f"the source {source} leads through a link")
        if source not in self._entries:
            raise CopyError(f"there is no {source}")
        return self._entries[source]

    def _copy(self, made: _Layer, source: str, target: str) -> None:
        entry = self._at(source)
        name = posixpath.basename(target)
        made.folders(target if name in {"", "."} else posixpath.dirname(target))
        place = posixpath.normpath(target).lstrip("/")
        if entry.kind == "dir":
            made.folders(place)
            self._copy_children(made, source, place)
            return
        if made.is_folder(place):
            place = posixpath.join(place, posixpath.basename(source))
        made.put(entry._replace(path=place))

    def _copy_children(self, made: _Layer, source: str, place: str) -> None:
        for child in self._children.get(source, ()):
            path = posixpath.join(place, posixpath.basename(child))
            entry = self._entries[child]
            if entry.kind == "dir":
                made.folders(path)
                self._copy_children(made, child, path)
            else:
                made.put(entry._replace(path=path))


class _Layer:
    """The entries made so far, by path."""

    def __init__(self) -> None:
        self.entries: dict[str, LayerEntry] = {}

    def is_folder(self, path: str) -> bool:
        return not path or (path in self.entries and self.entries[path].kind == "dir")

    def folders(self, path: str) -> None:
        """Make a folder and those above it."""
        place = posixpath.normpath(f"/{path}").lstrip("/")
        while place:
            if not self.is_folder(place) and place in self.entries:
                raise CopyError(f"/{place} is a file and a folder")
            self.entries.setdefault(place, LayerEntry(place, "dir"))
            place = place.rpartition("/")[0]

    def put(self, entry: LayerEntry) -> None:
        """Put a file or a link, also over another one."""
        if not entry.path or self.is_folder(entry.path):
            raise CopyError(f"/{entry.path} is a file and a folder")
        self.entries[entry.path] = entry


def _walk_order(path: str) -> tuple[bytes, ...]:
    return tuple(_bytes(path).split(b"/"))


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
