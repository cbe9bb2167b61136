"""What is derived from the bytes of a file, kept by content: an unchanged file is not parsed again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from lamina.identify.kept_file import read_kept, write_kept
from lamina.json_data import Json, as_table
from lamina.masks import Mask

_CODE = ("declare", "identify")
"""The packages whose code decides what is derived."""
_MOST = 5_000
"""Values. Up to this number, those that were not requested stay for other commands."""


class Derived:
    """Values that depend on nothing but the content of a file and a name of how they are derived.

    Args:
        file: The cache file; None disables saving. A damaged one counts as empty.
        mask: Knows the secrets. Nothing is saved if one of them is in it.

    Attributes:
        made: How many values were computed, and not known already.
    """

    def __init__(self, file: Path | None = None, mask: Mask | None = None) -> None:
        self._file = file
        self._mask = mask or Mask()
        self._before = as_table(read_kept(file, _CODE)) if file else {}
        self._now: dict[str, Json] = {}
        self.made = 0
        self._learnt = False

    def value(
        self, how: str, sha256: str, read: Callable[[], bytes], derive: Callable[[bytes], Json]
    ) -> Json:
        """Return a value derived from a file. Raises OSError if it must be read and cannot be.

        Args:
            how: Names the derivation with all its parameters.
            sha256: The digest of the content. If that has changed meanwhile, the value is not kept.
        """
        key = f"{sha256} {how}"
        if key in self._now:
            return self._now[key]
        if key in self._before:
            self._now[key] = self._before[key]
            return self._now[key]
        content = read()
        value = derive(content)
        value = list(value) if isinstance(value, tuple) else value  # as it is read again
        self.made += 1
        if hashlib.sha256(content).hexdigest() == sha256:
            self._now[key] = value
            self._learnt = True
        return value

    def save(self) -> None:
        """Write new values for the next command. If the disk refuses, only speed is lost."""
        if self._file is None or not self._learnt:
            return
        values = {**self._before, **self._now}
        if self._mask.hide_in(values) == values:
            write_kept(self._file, values if len(values) < _MOST else self._now, _CODE)
