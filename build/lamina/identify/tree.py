"""Readable trees of files: the interface between identification and the disk."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

Stamp = tuple[int, int, int, int]
FileKind = Literal["file", "exec", "link", "dir", "socket", "other"]
_AT_ONCE = 1 << 20
"""Bytes. Larger files are hashed in pieces. For small ones the buffer would cost more than the read."""


class TreeEntry(NamedTuple):
    """One name in a tree.

    Attributes:
        path: POSIX, relative to the tree's root, with undecodable bytes as surrogates.
        size: Bytes; 0 if not a file.
        target: The stored target of a link; for ``other``, what it is.
        stamp: Size, mtime and ctime in nanoseconds, inode; None if not a file on disk.
    """

    # A plan creates one for every file. A tuple takes a third of a dataclass's time.
    path: str
    kind: FileKind
    size: int = 0
    target: str | None = None
    stamp: Stamp | None = None


class Files(Protocol):
    """A readable tree. Paths are POSIX and relative; the root is the empty string."""

    def children(self, directory: str) -> Iterable[TreeEntry]:
        """Return the entries of a directory, sorted by code point. Links are not followed."""
        ...

    def entry(self, path: str) -> TreeEntry | None:
        """Return one entry, or None if it does not exist. A link at its end is not followed."""
        ...

    def sha256(self, entry: TreeEntry) -> str:
        """Return the hex digest of a file's content. Raises OSError when it cannot be read."""
        ...


class DiskFiles:
    """A folder of this machine. Sockets do not exist in it: BuildKit passes over them in silence."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._prefix = f"{root}/"

    def children(self, directory: str) -> Iterable[TreeEntry]:
        """See `Files.children`."""
        prefix = f"{directory}/" if directory else ""
        with os.scandir(self.root / directory) as found:
            make = self._entry
            entries = [make(prefix + each.name, each.stat(follow_symlinks=False)) for each in found]
        kept = [each for each in entries if each.kind != "socket"]
        kept.sort()
        return kept

    def entry(self, path: str) -> TreeEntry | None:
        """See `Files.entry`."""
        try:
            entry = self._entry(path, os.lstat(self.root / path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return None if entry.kind == "socket" else entry

    def sha256(self, entry: TreeEntry) -> str:
        """See `Files.sha256`."""
        path = f"{self._prefix}{entry.path}"
        if entry.size < _AT_ONCE:
            content = _read(path, entry.size + 1)
            if len(content) <= entry.size:
                return hashlib.sha256(content).hexdigest()
        with open(path, "rb", buffering=0) as source:  # noqa: PTH123 - half the cost of Path.open
            return hashlib.file_digest(source, "sha256").hexdigest()

    def _entry(self, path: str, status: os.stat_result) -> TreeEntry:
        mode = status.st_mode
        if stat.S_ISREG(mode):
            size = status.st_size
            stamp = (size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
            kind = "exec" if mode & 0o111 else "file"
            return tuple.__new__(TreeEntry, (path, kind, size, None, stamp))  # half the cost of TreeEntry()
        if stat.S_ISDIR(mode):
            return TreeEntry(path, "dir")
        if stat.S_ISLNK(mode):
            return TreeEntry(path, "link", target=os.readlink(self.root / path))  # noqa: PTH115 - as stored
        if stat.S_ISSOCK(mode):
            return TreeEntry(path, "socket")
        return TreeEntry(path, "other", target="a FIFO (named pipe)" if stat.S_ISFIFO(mode) else "a device")


def _read(path: str, size: int) -> bytes:
    """Return the beginning of a file. A file object would double the cost, and most files are small."""
    handle = os.open(path, os.O_RDONLY)
    try:
        return os.read(handle, size)
    finally:
        os.close(handle)


def shown(text: str) -> str:
    """Return a text in one line that any terminal can print, with other characters as Python escapes.

    Bytes that are not UTF-8 become ``\\xff``. Line breaks, control characters and marks that change the
    writing direction are escaped too.
    """
    decoded = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if decoded.isprintable():
        return decoded
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in decoded
    )
