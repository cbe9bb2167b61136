"""What the images of a run have in common: each ignore file is read once, and each folder is walked once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from lamina.identify.ignore import Ignore
from lamina.identify.tree import Files

_Found = TypeVar("_Found")


class Shared(Generic[_Found]):
    """Ignore files by content, and what their rules let through, by folder."""

    def __init__(self) -> None:
        self._rules: dict[tuple[bytes, str], Ignore] = {}
        self._walked: dict[tuple[int, int, str], tuple[Files, Ignore, _Found]] = {}
        """Identity of a tree and of rules, and the folder. Both are held: no other object gets one."""

    def rules(self, text: bytes, source: str) -> Ignore:
        """Return the rules of an ignore file: one object for equal texts. Raises ConfigError."""
        key = (text, source)
        if key not in self._rules:
            self._rules[key] = Ignore.parse(text, source)
        return self._rules[key]

    def walked(self, files: Files, ignore: Ignore, folder: str, walk: Callable[[], _Found]) -> _Found:
        """Return what is below a folder. walk: finds it. The tree must stay as it is during a run."""
        key = (id(files), id(ignore), folder)
        if key not in self._walked:
            self._walked[key] = files, ignore, walk()
        return self._walked[key][2]
