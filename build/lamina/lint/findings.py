"""What lint finds, and the edits that fix it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lamina.errors import Certainty

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Lines of a file that become others.

    start: the first of them, counted from 1; end: the first that stays. The same number twice inserts before
    that line. lines: without line ends. A file that is not there yet is made of them.
    """

    file: str
    start: int
    end: int
    lines: tuple[str, ...]


Fix = tuple[Edit, ...]
"""The edits that belong together: all of them, or none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A place where a rule is broken.

    hint: what to do by hand, where nothing can be mended safely. step: whether the line is that of a step,
    whose time may be known. certainty: what is not certain is a warning at most. unless: what would prove it
    wrong.
    """

    image: str
    file: str
    line: int
    message: str
    fix: Fix | None = None
    hint: str | None = None
    step: bool = False
    certainty: Certainty = "certain"
    unless: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A hit with what its rule says. rule: id. line: counted from 1."""

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

    @property
    def where(self) -> str:
        """``file:line``."""
        return f"{self.file}:{self.line}"

    @property
    def counts(self) -> bool:
        """Whether it fails the command; a note does not."""
        return self.severity != "note"
