"""Move the alias of every function to its new version, all or none; with a canary in steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lamina.aws.live import Alias
from lamina.deploy.alias_moves import AliasMoves
from lamina.deploy.canary import Canary, Judged, Waiting, is_shared
from lamina.deploy.deploy import Deployment, DeployOptions
from lamina.deploy.record import read_note
from lamina.deploy.results import (
    CanaryReport,
    DeployResult,
    Outcome,
    Rollout,
    Status,
    failed,
    name_of,
    note_of,
)
from lamina.deploy.returning import Returning
from lamina.deploy.rules import FunctionUpdate
from lamina.errors import AwsError, LaminaError, Problem

_POINTED: Mapping[Status, Status] = {"skipped": "pointed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stop:
    """Why the aliases return: a function whose alias could not be moved, a judgement, or Ctrl-C."""

    first: DeployResult | None = None
    problem: Problem | None = None
    interrupted: bool = False


@dataclass(slots=True, kw_only=True)
class Pointing:
    """The move of an alias of every function to its new version.

    Attributes:
        before: by function name, the alias as it is put back.
        moves: those so far.
        shifting: functions whose calls move only when provisioned concurrency is ready.
        canary: the steps in which the old and the new versions share the calls before the aliases move.
    """

    deployment: Deployment
    alias: str
    options: DeployOptions
    say: Callable[[str], None]
    waiting: Waiting
    before: dict[str, Alias] = field(init=False)
    moves: AliasMoves = field(init=False)
    shifting: list[DeployResult] = field(default_factory=list)
    canary: Canary | None = None

    def __post_init__(self) -> None:
        self.before = dict(self.deployment.aliases)
        self.moves = AliasMoves(
            deployment=self.deployment,
            alias=self.alias,
            timeout=self.options.timeout,
            known=dict(self.deployment.aliases),
        )

    def run(self, made: Sequence[DeployResult]) -> Rollout:
        """Move the aliases. After a failure, a judgement or Ctrl-C, put all of them back."""
        pointed = [each for each in made if each.move.pointed]
        self._plan_canary(pointed)
        try:
            stop = self._move(pointed)
        except Exception:  # such as output that is not read any more
            self._put_back(patient=True)
            raise
        if stop is None:
            if self.canary:
                self.canary.record(1)
            return Rollout(results=tuple(map(self._moved, made)), canary=self._report("shifted"))
        back = self._put_back(patient=not stop.interrupted)
        if self.canary and self.canary.history and not back.left:
            self.canary.record(0)
        return self._returned(made, stop, back)

    def _plan_canary(self, pointed: Sequence[DeployResult]) -> None:
        """Plan the steps before, if a canary was asked for and an alias can share calls."""
        shared = [each for each in pointed if is_shared(each, self.before)]
        if not shared or self.options.shift is None:
            return
        for each in shared:  # a share that a killed canary left does not come back
            name = name_of(each.move)
            self.before[name] = replace(self.before[name], routes={})
        self.canary = Canary(
            deployment=self.deployment,
            options=self.options,
            shift=self.options.shift,
            shared=shared,
            moves=self.moves,
            say=self.say,
            waiting=self.waiting,
        )

    def _move(self, pointed: Sequence[DeployResult]) -> _Stop | None:
        """Move the aliases and wait until calls have moved too. Return why that ended early, if it did."""
        try:
            first = self.canary.run() if self.canary else None
            first = first or self._all(self._point, pointed) or self._all(self._come_over, self.shifting)
        except Judged as judged:
            return _Stop(problem=judged.problem)
        except KeyboardInterrupt:
            return _Stop(interrupted=True)
        return _Stop(first=first) if first else None

    def _all(self, step: Callable[[DeployResult], None], some: Sequence[DeployResult]) -> DeployResult | None:
        for each in some:
            try:
                step(each)
            except LaminaError as error:
                return failed(each, error)
        return None

    def _point(self, each: DeployResult) -> None:
        name, version = name_of(each.move), str(each.version)
        note = self._description(each.move, version, self.moves.known.get(name))
        now = self.moves.point(each, version, note=note)
        if now.routes:
            self.say(f"{name}: {self.alias} moves to version {version} as provisioned concurrency is ready")
            self.shifting.append(each)
        else:
            self.say(f"{name}: {self.alias} is version {version}")

    def _description(self, move: FunctionUpdate, version: str, before: Alias | None) -> str | None:
        """Return the alias's description; None if somebody else described it."""
        theirs = before is not None and before.description and read_note(before.description) is None
        return None if theirs or not self.options.run else note_of(move, self.options, version)

    def _come_over(self, each: DeployResult) -> None:
        """Wait for provisioned concurrency. Until it is ready, calls go to the old version.

        Raises AwsError if Lambda cannot provide it.
        """
        name, client = name_of(each.move), self.deployment.client(each.move)
        try:
            found = client.allocated(name, self.alias, until=time.monotonic() + self.options.timeout)
        except LaminaError as error:
            self.say(f"{name}: cannot tell whether calls have moved: {error.problems[0].what}")
            return
        if found and found.status == "FAILED":
            raise AwsError.of(
                f"provisioned concurrency for version {each.version} cannot be made: {found.reason}",
                where="AWS GetProvisionedConcurrencyConfig",
            )
        still = found and found.under_way
        self.say(
            f"{name}: provisioned concurrency for version {each.version} is still being made: invoke status"
            if still
            else f"{name}: {self.alias} is version {each.version}"
        )

    def _put_back(self, *, patient: bool) -> Returning:
        back = Returning(
            moves=self.moves,
            name=self.options.run,
            before=self.before,
            say=self.say,
            queue=[*self.moves.moved],
            weights=self.canary.weights if self.canary else (),
            patient=patient,
        )
        back.run()
        return back

    def _moved(self, each: DeployResult) -> DeployResult:
        """Return the result of a function after all aliases have moved."""
        if each not in self.moves.moved:
            return each
        return replace(each, status=_POINTED.get(each.status, each.status))

    def _returned(self, made: Sequence[DeployResult], stop: _Stop, back: Returning) -> Rollout:
        """Return the results after the aliases were put back."""
        hint = self._hint(back)
        problems = []
        if stop.problem:
            problems.append(replace(stop.problem, hint=f"{stop.problem.hint or 'fix it'}; {hint}"))
        if stop.interrupted:
            self.say(hint)
        first = name_of(stop.first.move) if stop.first else None
        problems += [
            Problem(what=f"{self.alias} of {name} {what}", where="AWS Lambda", hint="invoke status")
            for name, what in back.theirs.items()
            if name != first
        ]
        if back.left:
            problems.append(self._left(back.left))
        return Rollout(
            results=tuple(self._result(each, stop, back, hint) for each in made),
            interrupted=stop.interrupted,
            problems=tuple(problems),
            canary=self._report("left" if back.left else "returned"),
        )

    def _hint(self, back: Returning) -> str:
        names = [name for each in self.moves.moved if (name := name_of(each.move)) not in back.theirs]
        if back.left:
            return f"{self.alias} could not be put back for {', '.join(back.left)}: run invoke status"
        return f"{self.alias} is put back for {', '.join(names)}; run it again" if names else "run it again"

    def _left(self, left: Mapping[str, str]) -> Problem:
        """Return what to say of aliases that could not be put back, and how to end it."""
        stack = f" --stack {self.options.stack}" if self.options.stack else ""
        lines = (f"{self.alias} of {name} {why}" for name, why in left.items())
        return Problem(
            what="\n  ".join((f"{self.alias} is not put back everywhere:", *lines)),
            where="AWS UpdateAlias",
            hint=f"invoke deploy --rollback --alias {self.alias}{stack} returns it, "
            f"invoke deploy --alias {self.alias}{stack} shifts the rest",
        )

    def _report(self, outcome: Outcome) -> CanaryReport | None:
        if self.canary is None:
            return None
        return CanaryReport(
            shift=str(self.canary.shift),
            functions=tuple(name_of(each.move) for each in self.canary.shared),
            outcome=outcome,
            history=tuple(self.canary.history),
        )

    def _result(self, each: DeployResult, stop: _Stop, back: Returning, hint: str) -> DeployResult:
        """Return the result of a function after the aliases were put back."""
        first, stopped = stop.first, stop.interrupted and each.status == "skipped"
        if first and first.move == each.move:
            return replace(first, problem=first.problem and replace(first.problem, hint=hint))
        if each in self.moves.moved and (self.canary or not stop.interrupted):
            left = name_of(each.move) in {**back.left, **back.theirs}
            return replace(each, status="returned" if self.canary and not left else "failed")
        return replace(each, status="stopped") if stopped else each
