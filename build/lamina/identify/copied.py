"""The destinations of a COPY: image path -> origin of the file."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping

from lamina.declare.dockerfile import Instruction
from lamina.identify.wildcard import compile_wildcard, is_wildcard


def copied(
    instruction: Instruction,
    words: tuple[str, ...],
    files: Mapping[str, str],
    place: str,
    *,
    is_folder: Callable[[str], bool],
) -> Iterator[tuple[str, str]]:
    """Yield image path and origin of each copied file.

    A single file goes into the destination folder or takes the destination's name. If neither the image nor a
    suffix decides this, both paths are yielded.

    Args:
        words: The instruction's words, expanded.
        files: Path -> origin, in the context or image that it copies from.
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
        wild = compile_wildcard(source, deep=keep) if is_wildcard(source) else None
        below = f"{source}/" if source else ""
        for name, file in files.items():
            path = name.lstrip("/")
            if wild is not None:
                matched = next((head for head in _heads(path) if wild.fullmatch(head)), None)
                if matched is None:
                    continue
                rest = path[len(matched) + 1 :]
            elif path.startswith(below):
                rest = path[len(below) :]
            elif path == source:
                rest = ""
            else:
                continue
            if keep or rest:
                yield folder + (path[kept:] if keep else rest), file
                continue
            if not into and wild is None:
                yield place, file
                if _suffix(place) == _suffix(path):
                    continue
            yield folder + posixpath.basename(path), file


def _suffix(path: str) -> str:
    return posixpath.splitext(path)[1]


def _source(written: str, *, pivot: bool) -> tuple[str, int]:
    """Return a source as a relative path, and the length of the part before ``/./`` to drop."""
    before = written.partition("/./")[0] if pivot and "/./" in written else ""
    head = posixpath.normpath(f"/{before}").lstrip("/")
    return posixpath.normpath(f"/{written}").lstrip("/"), len(f"{head}/") if head else 0


def _heads(path: str) -> Iterator[str]:
    """Yield the ancestors of a path, outermost first, then the path itself."""
    parts = path.split("/")
    for count in range(1, len(parts) + 1):
        yield "/".join(parts[:count])
