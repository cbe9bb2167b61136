"""What an ignore file leaves in the context, whatever the Dockerfile reads of it. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lamina.decide.weight import heaviest
from lamina.identify.context import ContextFile
from lamina.identify.ignore import Folder, Ignore
from lamina.identify.tree import Entry, Files

_NAMED = 3


class Unread:
    """A tree of which no file is read: it is asked for names and sizes alone."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def children(self, directory: str) -> Iterable[Entry]:
        """See `Files.children`."""
        return self._files.children(directory)

    def entry(self, path: str) -> Entry | None:
        """See `Files.entry`."""
        return self._files.entry(path)

    def sha256(self, entry: Entry) -> str:  # noqa: ARG002 - the protocol's
        """Nothing: a name is enough."""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The files that a build may be sent: path -> bytes."""

    files: dict[str, int]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())

    def without(self, other: Offer) -> tuple[tuple[str, int], ...]:
        """The folders and files that weigh most of what the other one lacks, with their bytes."""
        gone = (
            ContextFile(path, "file", "", size)
            for path, size in self.files.items()
            if path not in other.files
        )
        return tuple(heaviest(gone, _NAMED))


def offered(files: Files, ignore: Ignore) -> Offer:
    """Every file of a tree that the rules do not hide."""
    return Offer(files=dict(_walk(files, ignore.folder())))


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
