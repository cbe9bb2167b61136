"""What can go wrong: one root, one exit code a class, and problems that say what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

Certainty = Literal["certain", "likely", "hint"]
"""How sure a finding is. Only what is certain on every repository stops a build."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong, told so that the reader can mend it.

    what: the fault in one sentence. where: ``file:line`` or a configuration key.
    allowed: what would have been right. hint: the next step, a command where there is one.
    unless: what would prove it wrong, where it is not certain.
    """

    what: str
    where: str | None = None
    allowed: str | None = None
    hint: str | None = None
    certainty: Certainty = "certain"
    unless: str | None = None

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.unless:
            lines.append(f"  {self.certainty}, unless {self.unless}")
        if self.allowed:
            lines.append(f"  allowed: {self.allowed}")
        if self.hint:
            lines.append(f"  next: {self.hint}")
        return "\n".join(lines)


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.5) -> str | None:
    """The known word that is most like another one. cutoff: how much, from 0 (any) to 1 (the same)."""
    return next(iter(difflib.get_close_matches(word, [*known], n=1, cutoff=cutoff)), None)


def did_you_mean(near: str | None) -> str | None:
    """The question that goes with the nearest word, where there is one."""
    return f"did you mean {near}?" if near else None


def meant(word: str, known: Iterable[str], *, prefix: str = "") -> str:
    """The same question as the end of a sentence about the word; empty where no known word is like it."""
    near = nearest(word, known)
    return f"; {did_you_mean(prefix + near)}" if near else ""


class LaminaError(Exception):
    """Root of all errors a user may cause or meet; carries every problem found, not only the first."""

    exit_code: ClassVar[int] = 1

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems

    @classmethod
    def of(
        cls, what: str, *, where: str | None = None, allowed: str | None = None, hint: str | None = None
    ) -> Self:
        """An error of this class with a single problem."""
        return cls(Problem(what=what, where=where, allowed=allowed, hint=hint))

    @classmethod
    def of_system(cls, error: OSError, *, hint: str | None = None) -> Self:
        """What the operating system refused: a full disk, a folder that may not be written."""
        return cls.of(error.strerror or str(error), where=error.filename, hint=hint)

    @classmethod
    def check(cls, problems: Iterable[Problem]) -> None:
        """Raise this class with all the problems, or do nothing when there are none."""
        if found := tuple(problems):
            raise cls(*found)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class BuildError(LaminaError):
    """A build ran and failed, its result could not be confirmed, or what was built does not answer."""

    exit_code = 1


class ConfigError(LaminaError):
    """Configuration, a Dockerfile or a context is wrong; nothing was started."""

    exit_code = 2


class SelectionError(LaminaError):
    """The selection names no image."""

    exit_code = 3


class EngineError(LaminaError):
    """There is no Docker engine, or it is too old for what is asked of it."""

    exit_code = 4


class RegistryError(LaminaError):
    """A registry, its repository or its credentials failed."""

    exit_code = 5


class AwsError(LaminaError):
    """AWS refused, failed or cannot be reached, in something else than its registry."""

    exit_code = 8


class Interrupted(LaminaError):  # noqa: N818 - the user's wish, not an error
    """The user stopped the command (Ctrl-C), or a signal did: SIGTERM ends with 143, SIGHUP with 129."""

    exit_code = 130
