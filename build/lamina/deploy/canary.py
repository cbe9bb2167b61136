"""Share the calls of aliases between the old and the new versions, and watch the new ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from lamina.aws.answers import may_pass
from lamina.aws.live import Alias
from lamina.deploy.alias_moves import AliasMoves
from lamina.deploy.deploy import Deployment, DeployOptions
from lamina.deploy.judge import alarm_problems, answer_problem
from lamina.deploy.results import CanaryStep, DeployResult, failed, name_of, share_note
from lamina.deploy.shift import Shift
from lamina.errors import LaminaError, Problem

_PAUSE = 10.0
"""Seconds between two looks at the alarms: the shortest period of one."""
_MOST_MISSES = 3
"""Looks in a row without an answer, after which the calls return."""
_NAMED = 5
"""Functions in a line of progress."""


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How to wait. sleep, clock: in seconds. now: the time as ISO 8601."""

    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], str] = _now


class Judged(Exception):  # noqa: N818 - a verdict, not a fault of the program
    """The new versions failed. problem: why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what)
        self.problem = problem


def is_shared(each: DeployResult, aliases: Mapping[str, Alias]) -> bool:
    """Whether an alias is to share calls: it names another version than the new one, and of another image."""
    known = aliases.get(name_of(each.move))
    return known is not None and known.version != each.version and not each.move.alike


@dataclass(slots=True, kw_only=True)
class Canary:
    """The steps of a shift.

    Attributes:
        shared: the functions whose alias shares calls.
        moves: of the alias.
        weights: the shares that were asked for.
        history: the shares that new versions got.
        misses: looks at the alarms in a row without an answer.
    """

    deployment: Deployment
    options: DeployOptions
    shift: Shift
    shared: Sequence[DeployResult]
    moves: AliasMoves
    say: Callable[[str], None]
    waiting: Waiting
    weights: set[float] = field(default_factory=set)
    history: list[CanaryStep] = field(default_factory=list)
    misses: int = 0

    def run(self) -> DeployResult | None:
        """Move calls step by step. Return the function whose alias could not be moved, if there is one.

        Raises Judged.
        """
        for weight in self.shift.weights:
            self.weights.add(weight)
            for each in self.shared:
                try:
                    known = self.moves.known[name_of(each.move)]
                    note = share_note(each.move, self.options, str(each.version), known)
                    self.moves.point(each, known.version, {str(each.version): weight}, note)
                except LaminaError as error:
                    return failed(each, error)
            self.record(weight)
            self.say(
                f"{self.moves.alias}: {weight:.0%} of the calls of {self._names()} go to their new versions, "
                f"watched for {self.shift.seconds} s"
            )
            self._watch()
        return None

    def record(self, weight: float) -> None:
        """Add a share, 0 to 1, to the history."""
        self.history.append(CanaryStep(at=self.waiting.now(), weight=weight))

    def _names(self) -> str:
        names = [name_of(each.move) for each in self.shared]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return ", ".join(names[:_NAMED]) + more

    def _watch(self) -> None:
        """Look at the alarms until the step ends; then call the new versions if that was asked for."""
        until = self.waiting.clock() + self.shift.seconds
        while True:
            self._look()
            left = until - self.waiting.clock()
            if left <= 0:
                break
            self.waiting.sleep(min(left, _PAUSE))
        if self.options.smoke:
            for each in self.shared:
                self._call(each)

    def _look(self) -> None:
        """Raise Judged if an alarm is in ALARM, is gone, or is not known for several looks."""
        try:
            problems = alarm_problems(self.deployment.clients.values(), self.options.alarms)
        except LaminaError as error:
            self.misses += 1
            if self.misses >= _MOST_MISSES or not may_pass(error):
                raise Judged(error.problems[0]) from error
            self.say(f"the alarms are not known: {error.problems[0].what}")
            return
        self.misses = 0
        if problems:
            raise Judged(problems[0])

    def _call(self, each: DeployResult) -> None:
        name, client = name_of(each.move), self.deployment.client(each.move)
        try:
            problem = answer_problem(
                client, name, str(each.version), self.deployment.events[name], self.options.timeout
            )
        except LaminaError as error:
            problem = error.problems[0]
        if problem:
            raise Judged(problem)
