"""Digests of files that have not changed since they were last read: a plan reads only what is new.

As git's index does, a file is taken for unchanged when size, times and inode are what they were; one that was
touched less than two seconds before it was hashed is not remembered, for it could change again unseen.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lamina.files import read_json, write_atomic
from lamina.identify.tree import DiskFiles, Entry, Stamp

SCHEMA = 1
RACY_NANOSECONDS = 2 * 10**9


class StatCache:
    """The digests that are known of each folder. A cache file that is missing or damaged is an empty one."""

    def __init__(self, file: Path) -> None:
        self._file = file
        document = read_json(file)
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            document = {"roots": {}}
        self._known: dict[str, dict[str, list[Any]]] = document["roots"]
        self._open: dict[Path, CachedFiles] = {}

    def files(self, root: Path) -> CachedFiles:
        """The tree of a folder; one and the same for all who ask."""
        if root not in self._open:
            self._open[root] = CachedFiles(root, self._known.get(str(root), {}))
        return self._open[root]

    def save(self) -> None:
        """Keep what was learnt, for the next run. A disk that takes nothing loses only speed."""
        if not any(files.learnt for files in self._open.values()):
            return

        roots = {**self._known, **{str(root): files.known for root, files in self._open.items()}}
        try:
            write_atomic(self._file, json.dumps({"schema": SCHEMA, "roots": roots}, separators=(",", ":")))
        except OSError:
            return


class CachedFiles(DiskFiles):
    """A folder whose unchanged files are not read again, and whose directories are listed once."""

    def __init__(self, root: Path, known: dict[str, list[Any]]) -> None:
        super().__init__(root)
        self._before = known
        self._listed: dict[str, tuple[Entry, ...]] = {}
        self.known: dict[str, list[Any]] = {}
        """Path -> the four numbers of its stamp and its digest, for the files that were asked for."""
        self.learnt = False

    def children(self, directory: str) -> Iterable[Entry]:
        """See `Files.children`."""
        if directory not in self._listed:
            self._listed[directory] = tuple(super().children(directory))
        return self._listed[directory]

    def sha256(self, entry: Entry) -> str:
        """See `Files.sha256`."""
        known = self.known.get(entry.path) or self._before.get(entry.path)
        if known and entry.stamp is not None and tuple(known[:4]) == entry.stamp:
            self.known[entry.path] = known
            return str(known[4])
        now = time.time_ns()
        digest = super().sha256(entry)
        if entry.stamp is not None and not _racy(entry.stamp, now):
            self.known[entry.path] = [*entry.stamp, digest]
            self.learnt = True
        return digest


def _racy(stamp: Stamp, now: int) -> bool:
    """Whether the file could change once more without its times telling."""
    return now - max(stamp[1], stamp[2]) < RACY_NANOSECONDS
