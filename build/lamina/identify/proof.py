"""Prove that a folder of staged files holds exactly what the fingerprint lists.

A proof reads every byte. Times alone prove nothing: they can be reset, and a hard link from another stage
changes a file's ctime. Within one run, unchanged times show that nothing happened since the bytes were read.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import NamedTuple

from lamina.files import EPOCH
from lamina.identify.tree import DiskFiles, FileKind, TreeEntry
from lamina.values import dataclass

MODES = {"file": stat.S_IFREG | 0o644, "exec": stat.S_IFREG | 0o755, "dir": stat.S_IFDIR | 0o755}


class Part(NamedTuple):
    """The expected state of a path in a stage.

    Attributes:
        sha256: Of the content or of a link's target; empty for a folder.
        dated: Whether the path goes into layers and therefore has the fixed time of all of them.
    """

    kind: FileKind
    sha256: str = ""
    dated: bool = True


class Stamp(NamedTuple):
    """The lstat values of a path. Of a folder only mode, inode and `mtime` are recorded."""

    mode: int
    inode: int
    size: int
    mtime: int
    ctime: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The state of a folder when its bytes were read and found correct. Both mappings are by path."""

    folder: Path
    seen: Mapping[str, Stamp] = field(repr=False)
    parts: Mapping[str, Part] = field(repr=False)

    def holds(self) -> bool:
        """Whether the folder is unchanged. A file of which only the ctime changed is read again."""
        now = read_stamps(self.folder)
        if now.keys() != self.seen.keys():
            return False
        moved = [path for path, stamp in now.items() if stamp != self.seen[path]]
        return all(
            now[path]._replace(ctime=0) == self.seen[path]._replace(ctime=0)
            and is_right(self.folder, path, now[path], self.parts[path])
            for path in moved
        )


def read_stamps(folder: Path) -> dict[str, Stamp]:
    """Return the stamp of every path below a folder. Links are not followed; vanished files are skipped."""
    return dict(_below(str(folder), ""))


def _below(folder: str, prefix: str) -> Iterator[tuple[str, Stamp]]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - a third of the time
    except FileNotFoundError:
        return
    for name in names:
        path, place = prefix + name, f"{folder}/{name}"
        try:
            found = os.lstat(place)
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(found.st_mode):
            yield path, Stamp(found.st_mode, found.st_ino, 0, found.st_mtime_ns, 0)
            yield from _below(place, f"{path}/")
        else:
            yield (
                path,
                Stamp(found.st_mode, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns),
            )


def is_right(folder: Path, path: str, stamp: Stamp, part: Part) -> bool:
    """Whether a path has the expected kind, mode, time and content. False if it has vanished."""
    if part.dated and stamp.mtime // 10**9 != EPOCH:
        return False
    if part.kind == "link":
        return stat.S_ISLNK(stamp.mode) and _target(folder / path) == part.sha256
    if stamp.mode != MODES[part.kind]:
        return False
    if part.kind == "dir":
        return True
    try:
        return DiskFiles(folder).sha256(TreeEntry(path, part.kind, stamp.size)) == part.sha256
    except OSError:
        return False


def _target(link: Path) -> str | None:
    try:
        return hashlib.sha256(os.fsencode(os.readlink(link))).hexdigest()  # noqa: PTH115 - as stored
    except OSError:
        return None
