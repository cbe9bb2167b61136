"""A folder to write into, in the words of tests."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Tree:
    """A folder. Paths are relative to it; folders on the way are made."""

    root: Path

    def write(self, path: str, content: str | bytes = "", *, executable: bool = False) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        file.chmod(0o755 if executable else 0o644)
        return file

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a text that must be there."""
        before = (self.root / path).read_bytes().decode()
        assert old in before
        (self.root / path).write_bytes(before.replace(old, new).encode())

    def link(self, path: str, target: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.symlink_to(target)

    def folder(self, path: str) -> None:
        (self.root / path).mkdir(parents=True)

    def move(self, old: str, new: str) -> None:
        (self.root / new).parent.mkdir(parents=True, exist_ok=True)
        (self.root / old).rename(self.root / new)

    def remove(self, path: str) -> None:
        place = self.root / path
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink()
