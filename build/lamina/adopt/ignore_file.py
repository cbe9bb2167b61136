"""An ignore file as it is and as it would be: what writing it would change, and what that spares."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lamina.adopt.allowlist import AllowList, is_generated
from lamina.adopt.unfiltered import ContextFiles
from lamina.decide.weight import amount
from lamina.errors import Problem
from lamina.identify.tree import shown

State = Literal["current", "new", "changed", "replaced", "by hand"]
"""``replaced``: written by hand, and safe to be written anew. ``by hand``: not safe, so it stays as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoreFile:
    """The ignore file of a Dockerfile. path: relative to the project; text: what is in it, None without one.

    before, after: what is left of the context, summed over its images. problems: what has rotted.
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
        """What writing it would do."""
        if self.text is None:
            return "new" if self.made.safe else "by hand"
        if self.text == self.made.text:
            return "current"
        if is_generated(self.text):
            return "changed"
        return "replaced" if self.made.safe else "by hand"

    @property
    def writable(self) -> bool:
        """Whether there is something to write, and nothing is lost by it."""
        return self.state in {"new", "changed", "replaced"}

    @property
    def diff(self) -> tuple[str, ...]:
        """What writing it changes, line by line."""
        old, new = (self.text or "").splitlines(), self.made.text.splitlines()
        return tuple(line for line in difflib.ndiff(old, new) if line[:2] in {"- ", "+ "})

    @property
    def reason(self) -> Problem | None:
        """Why it stays as it is, when it does."""
        if self.state != "by hand":
            return None
        gained = self.made.gained
        paths = ", ".join(shown(each) for each in (gained or self.made.lost)[:3])
        verb = "let in" if gained else "leave out"
        return Problem(
            what=f"stays as it is: what the COPY instructions say would {verb} {paths}",
            where=self.path,
            hint="narrow the COPY instructions, or keep the file by hand",
        )


def weighed(offer: ContextFiles) -> str:
    """``1.2 MB in 34 files``."""
    return f"{amount(offer.size)} in {len(offer.files)} files"
