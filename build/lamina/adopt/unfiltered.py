"""What an ignore file leaves in the context, whatever the Dockerfile reads of it. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from lamina.decide.weight import pick_heaviest, weigh
from lamina.identify.ignore import Folder, Ignore
from lamina.identify.tree import Files, TreeEntry

_NAMED = 3


class Unread:
    """A tree of which no file is read: it is asked for names and sizes alone."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def children(self, directory: str) -> Iterable[TreeEntry]:
        """See `Files.children`."""
        return self._files.children(directory)

    def entry(self, path: str) -> TreeEntry | None:
        """See `Files.entry`."""
        return self._files.entry(path)

    def sha256(self, entry: TreeEntry) -> str:  # noqa: ARG002 - the protocol's
        """Nothing: a name is enough."""
        return ""


class ContextFiles:
    """The files that a build may be sent: path -> bytes. Many images share one: it is weighed once."""

    def __init__(self, files: Mapping[str, int]) -> None:
        self.files = files

    @cached_property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())

    @cached_property
    def _weighed(self) -> tuple[Mapping[str, int], Mapping[str, set[str]]]:
        return weigh(self.files.items())

    def without(self, other: ContextFiles) -> tuple[tuple[str, int], ...]:
        """The folders and files that weigh most of what the other one lacks, with their bytes."""
        weights, parts = self._weighed
        left = dict(weights)
        for path, size in other._weighed[0].items():
            if path in left:
                left[path] -= size
        return tuple(pick_heaviest(left, parts, _NAMED))


def unfiltered_files(files: Files, ignore: Ignore) -> ContextFiles:
    """Every file of a tree that the rules do not hide."""
    return ContextFiles(dict(_walk(files, ignore.folder())))


def _walk(files: Files, folder: Folder) -> Iterator[tuple[str, int]]:
    if not folder.walked:
        return
    try:
        children = tuple(files.children(folder.path))
    except OSError:  # a folder that may not be read is sent to nobody
        return
    for child in children:
        name = posixpath.basename(child.path)
        if child.kind == "dir":
            yield from _walk(files, folder.enter(name))
        elif not folder.hides(name):
            yield child.path, child.size
