"""Lamina's errors: one root, one exit code per class, and problems that name the next step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Literal, Self

from lamina.values import dataclass

Certainty = Literal["certain", "likely", "hint"]
"""How sure a finding is. Only a finding that is certain on every repository stops a build."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault, with what the reader needs to fix it.

    what: the fault in one sentence. where: ``file:line`` or a configuration key.
    allowed: the accepted values. hint: the next step, a command where there is one.
    unless: the condition under which an uncertain finding is wrong.
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


def by_certainty(problems: Iterable[Problem]) -> Mapping[Certainty, tuple[Problem, ...]]:
    """Group problems by how certain they are."""
    found: dict[Certainty, tuple[Problem, ...]] = {"certain": (), "likely": (), "hint": ()}
    for each in problems:
        found[each.certainty] = (*found[each.certainty], each)
    return found


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.5) -> str | None:
    """Return the known word closest to ``word``, or None.

    Args:
        word: the word to compare.
        known: the candidates.
        cutoff: the least similarity that counts, from 0 (any) to 1 (equal).
    """
    import difflib  # errors are raised by few commands, and imported by all

    return next(iter(difflib.get_close_matches(word, [*known], n=1, cutoff=cutoff)), None)


def did_you_mean(near: str | None) -> str | None:
    """Return "did you mean …?" for the nearest word; None without one."""
    return f"did you mean {near}?" if near else None


def meant(word: str, known: Iterable[str], *, prefix: str = "") -> str:
    """Return "; did you mean …?" to append to a sentence; empty when no known word is similar."""
    near = nearest(word, known)
    return f"; {did_you_mean(prefix + near)}" if near else ""


def unknown_format(form: str, known: Sequence[str], *, flag: str = "--format") -> Problem:
    """Return the problem of a flag that names no output format."""
    what = f"{form!r} is not a format{meant(form, known)}"
    return Problem(what=what, where=flag, allowed=", ".join(known))


class LaminaError(Exception):
    """Root of all errors a user may cause or meet. It carries every problem found, not only the first."""

    exit_code: ClassVar[int] = 1

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems

    @classmethod
    def of(
        cls, what: str, *, where: str | None = None, allowed: str | None = None, hint: str | None = None
    ) -> Self:
        """Return an error of this class with a single problem."""
        return cls(Problem(what=what, where=where, allowed=allowed, hint=hint))

    @classmethod
    def of_system(cls, error: OSError, *, hint: str | None = None) -> Self:
        """Return an error for a failed system call: a full disk, a folder that is not writable."""
        return cls.of(error.strerror or str(error), where=error.filename, hint=hint)

    @classmethod
    def check(cls, problems: Iterable[Problem]) -> None:
        """Raise this class with all ``problems``; do nothing when there are none."""
        if found := tuple(problems):
            raise cls(*found)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class BuildError(LaminaError):
    """A build failed, its result could not be confirmed, or a built image does not answer."""

    exit_code = 1


class ConfigError(LaminaError):
    """The configuration, a Dockerfile or a context is wrong; nothing was started."""

    exit_code = 2


class SelectionError(LaminaError):
    """The selection names no image."""

    exit_code = 3


class EngineError(LaminaError):
    """There is no Docker engine, or it is too old for the request."""

    exit_code = 4


class RegistryError(LaminaError):
    """A registry, its repository or its credentials failed."""

    exit_code = 5


class AwsError(LaminaError):
    """An AWS service other than ECR refused, failed or cannot be reached."""

    exit_code = 8


class Interrupted(LaminaError):  # noqa: N818 - the user's decision, not an error
    """The user (Ctrl-C) or a signal stopped the command. SIGTERM exits with 143, SIGHUP with 129."""

    exit_code = 130
