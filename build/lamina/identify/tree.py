"""A tree of files to read: the seam between identity and the disk."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Stamp = tuple[int, int, int, int]
FileKind = Literal["file", "exec", "link", "dir", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One name in a tree. path: POSIX, relative to the tree's root, undecodable bytes as surrogates.

    size: bytes, 0 for what has none. target: where a link points, as stored.
    stamp: size, mtime and ctime in nanoseconds, inode; None where there is no such thing.
    """

    path: str
    kind: FileKind
    size: int = 0
    target: str | None = None
    stamp: Stamp | None = None


class Files(Protocol):
    """A readable tree. Paths are POSIX and relative; the root is the empty string."""

    def children(self, directory: str) -> Iterable[Entry]:
        """The names in a directory, in the order of their bytes. Links are not followed."""
        ...

    def entry(self, path: str) -> Entry | None:
        """One name, not following a link at its end; None when there is none."""
        ...

    def sha256(self, entry: Entry) -> str:
        """Hex digest of a file's content. Raises OSError when it cannot be read."""
        ...


class DiskFiles:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def children(self, directory: str) -> Iterable[Entry]:
        """See `Files.children`."""
        prefix = f"{directory}/" if directory else ""
        with os.scandir(self.root / directory) as found:
            entries = [self._entry(prefix + each.name, each.stat(follow_symlinks=False)) for each in found]
        return sorted(entries, key=lambda entry: os.fsencode(entry.path))

    def entry(self, path: str) -> Entry | None:
        """See `Files.entry`."""
        try:
            return self._entry(path, os.lstat(self.root / path))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def sha256(self, entry: Entry) -> str:
        """See `Files.sha256`."""
        with open(self.root / entry.path, "rb") as source:  # noqa: PTH123 - half the cost of Path.open
            return hashlib.file_digest(source, "sha256").hexdigest()

    def _entry(self, path: str, status: os.stat_result) -> Entry:
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            return Entry(path=path, kind="dir")
        if stat.S_ISLNK(mode):
            return Entry(path=path, kind="link", target=os.readlink(self.root / path))  # noqa: PTH115 - as stored
        if stat.S_ISREG(mode):
            stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
            kind: FileKind = "exec" if mode & 0o111 else "file"
            return Entry(path=path, kind=kind, size=status.st_size, stamp=stamp)
        return Entry(path=path, kind="other")


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
