"""What lint finds, and the edits that fix it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lamina.errors import Certainty

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A replacement of lines of a file; a file that does not exist is created.

    Attributes:
        start: the first line replaced, counted from 1.
        end: the first line kept. If both are equal, the new lines are inserted before that line.
        lines: without line ends.
    """

    file: str
    start: int
    end: int
    lines: tuple[str, ...]


Fix = tuple[Edit, ...]
"""Edits that belong together: all of them are applied, or none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A place where a rule is broken.

    Attributes:
        hint: what to do by hand, if there is no safe fix.
        step: whether the line belongs to a build step, whose duration may be known.
        delays: the line of the step that runs in vain, if it is another one.
        certainty: a hit that is not certain is a warning at most.
        worth: whether fixing it saves seconds; a hit that does not is a note.
        unless: what would prove the hit wrong.
    """

    image: str
    file: str
    line: int
    message: str
    fix: Fix | None = None
    hint: str | None = None
    step: bool = False
    delays: int | None = None
    certainty: Certainty = "certain"
    worth: bool = True
    unless: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A hit with the texts of its rule.

    Attributes:
        rule: the id.
        line: counted from 1.
        column: of the line's first character that is not a space, counted from 1.
    """

    rule: str
    slug: str
    severity: Severity
    image: str
    file: str
    line: int
    message: str
    why: str
    fix: Fix | None
    hint: str | None
    certainty: Certainty = "certain"
    unless: str | None = None
    column: int = 1

    @property
    def where(self) -> str:
        """``file:line``."""
        return f"{self.file}:{self.line}"

    @property
    def counts(self) -> bool:
        """Whether it makes the command fail; a note does not."""
        return self.severity != "note"
