"""The results of a deployment, and the notes that it leaves in AWS."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from lamina.aws.live import Alias, Live
from lamina.deploy.deploy import DeployOptions
from lamina.deploy.record import Note, read_note
from lamina.deploy.rules import FunctionUpdate
from lamina.errors import LaminaError, Problem

Status = Literal["updated", "pointed", "skipped", "failed", "planned", "stopped", "begun", "returned"]
Outcome = Literal["shifted", "returned", "left"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployResult:
    """The result for one function.

    Attributes:
        version: the published version, None if none was published.
        now: the function after its update, also if something failed later; None if nothing of it changed.
        status: ``stopped`` if the user ended the deployment before the function was changed, ``begun`` if
            its update started but was not waited for, ``returned`` if it was put back.
        span: when its update began and ended, in seconds since the epoch; None if it did not.
    """

    move: FunctionUpdate
    status: Status
    version: str | None = None
    problem: Problem | None = None
    now: Live | None = None
    span: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryStep:
    """A share of the calls, 0 to 1, that new versions got. at: when, as ISO 8601."""

    at: str
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryReport:
    """What became of a canary.

    Attributes:
        shift: ``canary 10%:5m``.
        functions: whose aliases shared calls.
        outcome: ``shifted``: new versions have all calls; ``returned``: the old ones have; ``left``: an
            alias could not be put back.
    """

    shift: str
    functions: tuple[str, ...]
    outcome: Outcome
    history: tuple[CanaryStep, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """The result of a deployment.

    Attributes:
        interrupted: by the user; aliases are then as they were.
        problems: that are not those of a single function.
        canary: None if no alias shared calls.
    """

    results: tuple[DeployResult, ...]
    interrupted: bool = False
    problems: tuple[Problem, ...] = ()
    canary: CanaryReport | None = None

    @property
    def all_problems(self) -> tuple[Problem, ...]:
        """Those of functions too."""
        return (*(each.problem for each in self.results if each.problem), *self.problems)

    @property
    def incomplete(self) -> bool:
        """Whether a function was not updated, or an alias not moved."""
        return self.interrupted or bool(self.all_problems)


def name_of(move: FunctionUpdate) -> str:
    """Return the function's name as declared."""
    return str(move.wanted.function)


def note_of(move: FunctionUpdate, options: DeployOptions, version: str | None = None) -> str:
    """Return the description of a new version, or of the alias that is moved to a version."""
    before = None if options.rollback else move.alias  # a second rollback is to go further back
    facts = Note(
        run=options.run,
        tag=move.wanted.tag,
        alias=options.alias,
        version=version,
        before=before,
        commit=options.commit,
    )
    return str(facts)


def share_note(move: FunctionUpdate, options: DeployOptions, version: str, alias: Alias) -> str | None:
    """Return the description of an alias that gives a version a share; None if somebody else described it.

    It still says of the alias what it said before.
    """
    known = read_note(alias.description)
    if not options.run or (alias.description and known is None):
        return None
    facts = Note(
        run=options.run,
        tag=move.wanted.tag,
        alias=options.alias,
        version=alias.version,
        before=known.before if known and known.version == alias.version else None,
        share=version,
        commit=options.commit,
    )
    return str(facts)


def failed(done: DeployResult, error: LaminaError, hint: str | None = None) -> DeployResult:
    """Return a result with an error. hint: in place of its own."""
    problem = error.problems[0]
    where = f"{name_of(done.move)}: {problem.where}"
    return replace(done, status="failed", problem=replace(problem, where=where, hint=hint or problem.hint))
