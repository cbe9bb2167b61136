"""An ignore file as it is and as it would be generated, and the context with each."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lamina.adopt.allowlist import AllowList, is_generated
from lamina.decide.unfiltered import ContextFiles
from lamina.errors import Problem
from lamina.identify.tree import shown

State = Literal["current", "new", "changed", "replaced", "by hand"]
"""``replaced``: written by hand, and safe to replace. ``by hand``: not safe, so it is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoreFile:
    """The ignore file of a Dockerfile.

    Attributes:
        path: relative to the project.
        text: its content, None without one.
        before, after: the files left in the contexts of its images.
        problems: stale rules.
    """

    images: tuple[str, ...]
    file: Path
    path: str
    text: str | None
    made: AllowList
    before: ContextFiles
    after: ContextFiles
    problems: tuple[Problem, ...]

    @property
    def state(self) -> State:
        """The effect of writing it."""
        if self.text is None:
            return "new" if self.made.safe else "by hand"
        if self.text == self.made.text:
            return "current"
        if is_generated(self.text):
            return "changed"
        return "replaced" if self.made.safe else "by hand"

    @property
    def writable(self) -> bool:
        """Whether there is a change to write that loses nothing."""
        return self.state in {"new", "changed", "replaced"}

    @property
    def diff(self) -> tuple[str, ...]:
        """The changed lines."""
        old, new = (self.text or "").splitlines(), self.made.text.splitlines()
        return tuple(line for line in difflib.ndiff(old, new) if line[:2] in {"- ", "+ "})

    @property
    def reason(self) -> Problem | None:
        """Why it is kept, if it is."""
        if self.state != "by hand":
            return None
        gained = self.made.gained
        paths = ", ".join(shown(each) for each in (gained or self.made.lost)[:3])
        verb = "include" if gained else "exclude"
        return Problem(
            what=f"not replaced: a file from the COPY instructions would {verb} {paths}",
            where=self.path,
            hint="narrow the COPY instructions, or keep the file by hand",
        )
