"""A rule about images that fail on Lambda, and a place where one is broken."""

from __future__ import annotations

from lamina.errors import Certainty, Problem
from lamina.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule. id and slug never change.

    Attributes:
        summary: One sentence: the fault.
        why: One sentence: the effect.
        logs: Regular expressions for the lines that Lambda or the build writes when the fault is in an image.
        general: Those of lines that have other causes as well: `logs` of any rule come first.
        advice: The next step when such a line is seen.
        in_builds: Whether a build fails of it, and writes such a line.
    """

    id: str
    slug: str
    summary: str
    why: str
    logs: tuple[str, ...] = ()
    general: tuple[str, ...] = ()
    advice: str = ""
    in_builds: bool = False

    @property
    def next_step(self) -> str:
        """Where the rule is explained, and the advice."""
        return f"{self.id} {self.slug}, see invoke rule {self.id}: {self.advice}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A place where a rule is broken. rule: its id. file: relative to the project. line: 1 if unknown."""

    rule: str
    image: str
    file: str
    message: str
    line: int = 1
    hint: str | None = None
    certainty: Certainty = "certain"
    unless: str | None = None

    @property
    def problem(self) -> Problem:
        """The fault as a problem of a command; it names the rule."""
        return Problem(
            what=f"{self.message} ({self.rule})",
            where=f"{self.file}:{self.line}",
            hint=self.hint,
            certainty=self.certainty,
            unless=self.unless,
        )
