"""A tree of files to read: the seam between identity and the disk."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

Stamp = tuple[int, int, int, int]
FileKind = Literal["file", "exec", "link", "dir", "other"]
_AT_ONCE = 1 << 20
"""Bytes. A larger file is hashed in pieces; the buffer for that costs more than reading a small one."""


class TreeEntry(NamedTuple):
    """One name in a tree. path: POSIX, relative to the tree's root, undecodable bytes as surrogates.

    size: bytes, 0 for what has none. target: where a link points, as stored.
    stamp: size, mtime and ctime in nanoseconds, inode; None where there is no such thing.
    """

    # A plan makes one of these for every file: a tuple takes a third of a dataclass's time.
    path: str
    kind: FileKind
    size: int = 0
    target: str | None = None
    stamp: Stamp | None = None


class Files(Protocol):
    """A readable tree. Paths are POSIX and relative; the root is the empty string."""

    def children(self, directory: str) -> Iterable[TreeEntry]:
        """The names in a directory, in the order of their code points. Links are not followed."""
        ...

    def entry(self, path: str) -> TreeEntry | None:
        """One name, not following a link at its end; None when there is none."""
        ...

    def sha256(self, entry: TreeEntry) -> str:
        """Hex digest of a file's content. Raises OSError when it cannot be read."""
        ...


class DiskFiles:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._prefix = f"{root}/"

    def children(self, directory: str) -> Iterable[TreeEntry]:
        """See `Files.children`."""
        prefix = f"{directory}/" if directory else ""
        with os.scandir(self.root / directory) as found:
            entries = [self._entry(prefix + each.name, each.stat(follow_symlinks=False)) for each in found]
        entries.sort()
        return entries

    def entry(self, path: str) -> TreeEntry | None:
        """See `Files.entry`."""
        try:
            return self._entry(path, os.lstat(self.root / path))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def sha256(self, entry: TreeEntry) -> str:
        """See `Files.sha256`."""
        path = f"{self._prefix}{entry.path}"
        with open(path, "rb", buffering=0) as source:  # noqa: PTH123 - half the cost of Path.open
            if entry.size < _AT_ONCE and len(content := source.read(entry.size + 1)) <= entry.size:
                return hashlib.sha256(content).hexdigest()
            source.seek(0)
            return hashlib.file_digest(source, "sha256").hexdigest()

    def _entry(self, path: str, status: os.stat_result) -> TreeEntry:
        mode = status.st_mode
        if stat.S_ISREG(mode):
            size = status.st_size
            stamp = (size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
            return TreeEntry(path, "exec" if mode & 0o111 else "file", size, None, stamp)
        if stat.S_ISDIR(mode):
            return TreeEntry(path, "dir")
        if stat.S_ISLNK(mode):
            return TreeEntry(path, "link", target=os.readlink(self.root / path))  # noqa: PTH115 - as stored
        return TreeEntry(path, "other")


def shown(text: str) -> str:
    """A path, or what holds one, in one line that any terminal can print: the rest as Python's escapes.

    Bytes that are no UTF-8 come out as ``\\xff``; line breaks, control characters and marks that turn the
    direction of writing are escaped as well.
    """
    decoded = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if decoded.isprintable():
        return decoded
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in decoded
    )
