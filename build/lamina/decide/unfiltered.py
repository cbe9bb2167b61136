"""The files that an ignore file leaves in the context, whether the Dockerfile reads them or not. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from lamina.decide.weight import amount, pick_heaviest, weigh
from lamina.identify.ignore import Folder, Ignore
from lamina.identify.tree import Files, TreeEntry

_NAMED = 3


class Unread:
    """A tree of which only names and sizes are read."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def children(self, directory: str) -> Iterable[TreeEntry]:
        """See `Files.children`."""
        return self._files.children(directory)

    def entry(self, path: str) -> TreeEntry | None:
        """See `Files.entry`."""
        return self._files.entry(path)

    def sha256(self, entry: TreeEntry) -> str:  # noqa: ARG002 - the protocol's
        """Return an empty text: no content is read."""
        return ""


class ContextFiles:
    """The files that a build may be sent: path -> bytes. Images share one, so that it is weighed once."""

    def __init__(self, files: Mapping[str, int]) -> None:
        self.files = files

    @cached_property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())

    @property
    def summary(self) -> str:
        """A text such as ``1.2 MB in 34 files``."""
        return f"{amount(self.size)} in {len(self.files)} file{'s' * (len(self.files) != 1)}"

    @cached_property
    def _weighed(self) -> tuple[Mapping[str, int], Mapping[str, set[str]]]:
        return weigh(self.files.items())

    def without(self, other: ContextFiles) -> tuple[tuple[str, int], ...]:
        """Return the heaviest folders and files that the other context lacks, with their bytes."""
        weights, parts = self._weighed
        left = dict(weights)
        for path, size in other._weighed[0].items():
            if path in left:
                left[path] -= size
        return tuple(pick_heaviest(left, parts, _NAMED))


def unfiltered_files(files: Files, ignore: Ignore) -> ContextFiles:
    """Return every file of a tree that the rules do not hide."""
    return ContextFiles(dict(_walk(files, ignore.folder())))


def _walk(files: Files, folder: Folder) -> Iterator[tuple[str, int]]:
    if not folder.walked:
        return
    try:
        children = tuple(files.children(folder.path))
    except OSError:  # an unreadable folder is not sent
        return
    for child in children:
        name = posixpath.basename(child.path)
        if child.kind == "dir":
            yield from _walk(files, folder.enter(name))
        elif not folder.hides(name):
            yield child.path, child.size
