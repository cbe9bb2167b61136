"""The destinations of a COPY: image path -> origin of the file."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping

from lamina.declare.dockerfile import Instruction
from lamina.identify.wildcard import compile_wildcard, is_wildcard


class CopyFiles:
    """The files that a COPY may take: path -> origin, in a context or an image."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._all = [(path.lstrip("/"), origin) for path, origin in files.items()]
        self._tops: dict[str, list[tuple[str, str]]] = {}
        for each in self._all:
            self._tops.setdefault(each[0].partition("/")[0], []).append(each)

    def starting(self, source: str) -> list[tuple[str, str]]:
        """Return at least the files at or below a path, with relative paths; all for the empty one."""
        return self._tops.get(source.partition("/")[0], []) if source else self._all


def copied(
    instruction: Instruction,
    words: tuple[str, ...],
    files: CopyFiles,
    place: str,
    *,
    is_folder: Callable[[str], bool],
) -> Iterator[tuple[str, str]]:
    """Yield image path and origin of each copied file.

    A single file goes into the destination folder or takes the destination's name. If neither the image nor a
    suffix decides this, both paths are yielded.

    Args:
        words: The instruction's words, expanded.
        files: Those of the context or image that it copies from.
        place: The destination.
        is_folder: Whether an image path is certainly a folder.
    """
    *written, target = words
    keep = instruction.flag("parents") in {"", "true"}
    sources = [_source(each, pivot=keep) for each in written if not each.startswith("<<")]
    folder = place.rstrip("/") + "/"
    into = target.endswith("/") or posixpath.basename(target) in {".", ".."} or len(sources) > 1
    into = into or is_folder(place)
    for source, kept in sources:
        wildcard = compile_wildcard(source, deep=keep) if is_wildcard(source) else None
        for path, origin in files.starting("" if wildcard else source):
            rest = _below_path(source, path) if wildcard is None else _below_match(wildcard, path)
            if rest is None:
                continue
            if keep or rest:
                yield folder + (path[kept:] if keep else rest), origin
            else:
                may_rename = not into and wildcard is None
                yield from ((each, origin) for each in _file_targets(path, place, may_rename=may_rename))


def _below_match(wildcard: re.Pattern[str], path: str) -> str | None:
    """Return a path relative to its part that matches a wildcard: "" for a match, None without one."""
    matched = next((head for head in heads(path) if wildcard.fullmatch(head)), None)
    return None if matched is None else path[len(matched) + 1 :]


def _below_path(source: str, path: str) -> str | None:
    """Return a path relative to a source without wildcards: "" for the source, None outside of it."""
    if not source:
        return path
    if path == source:
        return ""
    return path.removeprefix(f"{source}/") if path.startswith(f"{source}/") else None


def _file_targets(path: str, place: str, *, may_rename: bool) -> Iterator[str]:
    """Yield the destinations of a single file: in a folder, as its new name, or both if that is uncertain."""
    if may_rename:
        yield place
        if _suffix(place) == _suffix(path):
            return
    yield f"{place.rstrip('/')}/{posixpath.basename(path)}"


def _suffix(path: str) -> str:
    return posixpath.splitext(path)[1]


def _source(written: str, *, pivot: bool) -> tuple[str, int]:
    """Return a source as a relative path, and the length of the part before ``/./`` to drop."""
    before = written.partition("/./")[0] if pivot and "/./" in written else ""
    head = posixpath.normpath(f"/{before}").lstrip("/")
    return posixpath.normpath(f"/{written}").lstrip("/"), len(f"{head}/") if head else 0


def heads(path: str) -> Iterator[str]:
    """Yield the ancestors of a path, outermost first, then the path itself."""
    parts = path.split("/")
    for count in range(1, len(parts) + 1):
        yield "/".join(parts[:count])
