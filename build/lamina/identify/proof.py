"""What a folder really holds: the proof that staged files are those of the fingerprint when they are sent.

A proof reads every byte. Times alone prove nothing: they can be put back, and a link from another stage moves
a file's time of change. They only tell, within one run, that nothing happened since the bytes were read.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from lamina.files import EPOCH
from lamina.identify.tree import DiskFiles, FileKind, TreeEntry

MODES = {"file": stat.S_IFREG | 0o644, "exec": stat.S_IFREG | 0o755, "dir": stat.S_IFDIR | 0o755}


class Part(NamedTuple):
    """What a path of a stage has to be. sha256: of the content, or of a link's target; empty for a folder.

    dated: whether it goes into layers, and so has the time that all of them have.
    """

    kind: FileKind
    sha256: str = ""
    dated: bool = True


class Stamp(NamedTuple):
    """What the disk tells of a name without reading it; of a folder only mode, inode and `mtime` count."""

    mode: int
    inode: int
    size: int
    mtime: int
    ctime: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A folder as it was when its bytes were read and found right. seen, parts: by path."""

    folder: Path
    seen: Mapping[str, Stamp] = field(repr=False)
    parts: Mapping[str, Part] = field(repr=False)

    def holds(self) -> bool:
        """Whether nothing of it changed since. A file that was only linked elsewhere is read again."""
        now = look_at(self.folder)
        if now.keys() != self.seen.keys():
            return False
        moved = [path for path, stamp in now.items() if stamp != self.seen[path]]
        return all(
            now[path]._replace(ctime=0) == self.seen[path]._replace(ctime=0)
            and is_right(self.folder, path, now[path], self.parts[path])
            for path in moved
        )


def look_at(folder: Path) -> dict[str, Stamp]:
    """Every name below a folder, by path; links are not followed. What goes meanwhile is left out."""
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
    """Whether a name is what it has to be: kind, mode, time, and every byte. False for one that went."""
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
