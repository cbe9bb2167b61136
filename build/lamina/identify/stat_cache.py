"""A cache of file digests, so that a plan reads only files that changed.

As in git's index, a file counts as unchanged if its size, times and inode are the same. A file touched less
than two seconds before it was hashed is not cached for later runs, because it could change again unnoticed.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from lamina.files import read_json, write_atomic
from lamina.identify.tree import DiskFiles, Stamp, TreeEntry

SCHEMA = 3
RACY_NANOSECONDS = 2 * 10**9
_MOST = 500_000
"""Files. Up to this number, files that were not requested stay in the cache for other commands."""


class StatCache:
    """The cached digests of each folder. A missing or damaged cache file counts as empty.

    A checksum detects damage that is still valid JSON: a wrong digest would give a wrong fingerprint.

    Args:
        file: The cache file; None disables saving.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._known = _read(file) if file else {}
        self._open: dict[Path, CachedFiles] = {}

    def files(self, root: Path) -> CachedFiles:
        """Return the tree of a folder. Repeated calls return the same object."""
        if root not in self._open:
            self._open[root] = CachedFiles(root, self._known.get(str(root), {}))
        return self._open[root]

    def save(self) -> None:
        """Write new digests for the next run. If the disk refuses, only speed is lost."""
        if self._file is None or not any(files.learnt for files in self._open.values()):
            return

        roots = {**self._known, **{str(root): files.all_known() for root, files in self._open.items()}}
        try:
            write_atomic(self._file, render(roots))
        except OSError:
            return


def render(roots: Mapping[str, Mapping[str, str]]) -> str:
    """Return the text of a cache file. roots: folder -> path -> stamp and digest."""
    document = {"schema": SCHEMA, "sum": _sum(roots), "roots": roots}
    return json.dumps(document, separators=(",", ":"))


def _read(file: Path) -> dict[str, dict[str, str]]:
    document = read_json(file)
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        return {}
    roots: dict[str, dict[str, str]] = document.get("roots", {})
    return roots if document.get("sum") == _sum(roots) else {}


def _sum(roots: object) -> str:
    return hashlib.sha256(json.dumps(roots, separators=(",", ":")).encode()).hexdigest()


class CachedFiles(DiskFiles):
    """A folder whose unchanged files are not read again and whose directories are listed once."""

    def __init__(self, root: Path, known: dict[str, str]) -> None:
        super().__init__(root)
        self._before = known
        self._listed: dict[str, tuple[TreeEntry, ...]] = {}
        self._hashed: dict[str, tuple[Stamp, str]] = {}
        """Path -> stamp and digest, for requested files: images of a run share them."""
        self._now: dict[str, str] = {}
        """Path -> stamp and digest in one text, for requested files that later runs may use."""
        self.learnt = False

    def all_known(self) -> dict[str, str]:
        """Return path -> stamp and digest, including files that were not requested in this run."""
        known = {**self._before, **self._now}
        return known if len(known) < _MOST else self._now

    def children(self, directory: str) -> Iterable[TreeEntry]:
        """See `Files.children`."""
        if directory not in self._listed:
            self._listed[directory] = tuple(super().children(directory))
        return self._listed[directory]

    def sha256(self, entry: TreeEntry) -> str:
        """See `Files.sha256`."""
        if entry.stamp is None:
            return super().sha256(entry)
        hashed = self._hashed.get(entry.path)
        if hashed is None or hashed[0] != entry.stamp:
            hashed = self._hashed[entry.path] = (entry.stamp, self._digest(entry, entry.stamp))
        return hashed[1]

    def _digest(self, entry: TreeEntry, stamp: Stamp) -> str:
        size, mtime, ctime, inode = stamp
        text = f"{size} {mtime} {ctime} {inode} "
        known = self._before.get(entry.path)
        if known is not None and known.startswith(text):
            return known[len(text) :]
        now = time.time_ns()
        digest = super().sha256(entry)
        if not _racy(stamp, now):
            self._now[entry.path] = text + digest
            self.learnt = True
        return digest


def _racy(stamp: Stamp, now: int) -> bool:
    """Whether the file could change again without a change of its times."""
    return now - max(stamp[1], stamp[2]) < RACY_NANOSECONDS
