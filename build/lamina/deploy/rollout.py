"""Carry out a deployment: update every function, wait, call it if asked to; then move aliases, all or none.

Ctrl-C starts no further update, waits for those under way, and leaves aliases as they were.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal

from lamina.aws.clients import CONNECTIONS
from lamina.aws.lambda_ import Functions
from lamina.aws.live import LATEST, Live
from lamina.deploy.deploy import Deployment, DeployOptions
from lamina.deploy.record import Note
from lamina.deploy.restore import restore
from lamina.deploy.rules import FunctionUpdate
from lamina.errors import AwsError, LaminaError, Problem

Status = Literal["updated", "pointed", "skipped", "failed", "planned", "stopped", "begun", "returned"]
_POINTED: Mapping[Status, Status] = {"skipped": "pointed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployResult:
    """The result for one function.

    Attributes:
        version: the published version, None if none was published.
        status: ``stopped`` if the user ended the deployment before the function was changed, ``begun`` if
            its update started but was not waited for, ``returned`` if it was put back.
    """

    move: FunctionUpdate
    status: Status
    version: str | None = None
    problem: Problem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """The result of a deployment. interrupted: by the user; aliases are then as they were."""

    results: tuple[DeployResult, ...]
    interrupted: bool = False

    @property
    def incomplete(self) -> bool:
        """Whether a function was not updated, or an alias not moved."""
        return self.interrupted or any(each.problem for each in self.results)


def apply(
    deployment: Deployment,
    options: DeployOptions,
    *,
    say: Callable[[str], None] = lambda _: None,
    dry_run: bool = False,
) -> Rollout:
    """Carry out a deployment; with ``dry_run`` only return its plan.

    A function's failure is in its result. The other functions are still updated, but no alias moves.
    """
    if dry_run:
        return Rollout(results=tuple(DeployResult(move=each, status="planned") for each in deployment.moves))
    made = _Updates(deployment=deployment, options=options, say=say).run()
    if options.alias is not None and not made.incomplete:
        pointing = _Pointing(deployment=deployment, alias=options.alias, timeout=options.timeout, say=say)
        made = pointing.run(made.results)
    if options.atomic and made.incomplete:
        begun = [
            each.move for each in made.results if each.move.action == "update" and each.status != "stopped"
        ]
        return _returned(made, restore(deployment, begun, options.timeout, say))
    return made


def _returned(made: Rollout, restored: Mapping[str, Problem | None]) -> Rollout:
    """Return the result after functions were put back."""

    def result(each: DeployResult) -> DeployResult:
        name = _name(each.move)
        if name not in restored:
            return each
        problem = restored[name]
        status: Status = "failed" if each.problem or problem else "returned"
        if each.problem and problem:
            problem = replace(each.problem, what=f"{each.problem.what}\n  {problem.what}", hint=problem.hint)
        return replace(each, status=status, problem=problem or each.problem)

    return replace(made, results=tuple(map(result, made.results)))


@dataclass(slots=True, kw_only=True)
class _Updates:
    """The updates of a deployment's functions, several at once.

    The threads are daemons, so that a second Ctrl-C exits at once.

    Attributes:
        changing: names of the functions being updated, to be waited for at Ctrl-C.
        done: results so far, by function name.
    """

    deployment: Deployment
    options: DeployOptions
    say: Callable[[str], None]
    left: deque[FunctionUpdate] = field(default_factory=deque)
    changing: set[str] = field(default_factory=set)
    done: dict[str, DeployResult] = field(default_factory=dict)
    ended: int = 0
    stopped: bool = False
    fault: Exception | None = None
    state: threading.Condition = field(default_factory=threading.Condition)

    def run(self) -> Rollout:
        moves = self.deployment.moves
        self.left.extend(moves)
        try:
            for _ in range(min(CONNECTIONS, len(moves))):
                threading.Thread(target=self._work, name="lambda", daemon=True).start()
            self._wait(lambda: self.ended == len(moves))
        except KeyboardInterrupt:
            self._stop()
        if self.fault:
            raise self.fault
        return Rollout(results=tuple(self._result(each) for each in moves), interrupted=self.stopped)

    def _result(self, move: FunctionUpdate) -> DeployResult:
        with self.state:
            begun = _name(move) in self.changing
            return self.done.get(_name(move), DeployResult(move=move, status="begun" if begun else "stopped"))

    def _stop(self) -> None:
        """Start no further update and wait for those under way; a second Ctrl-C ends the wait."""
        with self.state:
            self.stopped = True
            under_way = sorted(self.changing)
        if under_way:
            self.say(f"stopping: waiting for {', '.join(under_way)} (Ctrl-C again: leave without waiting)")
        with suppress(KeyboardInterrupt):
            self._wait(lambda: not self.changing)

    def _wait(self, over: Callable[[], bool]) -> None:
        with self.state:
            self.state.wait_for(lambda: over() or self.fault is not None)

    def _work(self) -> None:
        while True:
            with self.state:
                if self.stopped or not self.left:
                    return
                move = self.left.popleft()
                self.changing.add(_name(move))
            try:
                self._bring(move)
            except LaminaError as error:
                self._end(move, _failed(move, error))
            except Exception as error:  # the main thread raises it
                self.fault = error
            with self.state:
                self.changing.discard(_name(move))
                self.ended += 1
                self.state.notify_all()

    def _end(self, move: FunctionUpdate, result: DeployResult) -> None:
        with self.state:
            self.changing.discard(_name(move))
            self.done[_name(move)] = result
            self.state.notify_all()

    def _bring(self, move: FunctionUpdate) -> None:
        """Update one function; publish a version and call it if the options say so."""
        name, client, until = (
            _name(move),
            self.deployment.client(move),
            time.monotonic() + self.options.timeout,
        )
        live = self.deployment.live[name]
        if move.action == "update":
            self.say(f"{name}: gets {move.wanted.tag}")
        if live.update == "InProgress" or live.state == "Pending":
            live = client.at_rest(name, until=until)
        if move.image:
            live = client.update_image(name, move.wanted.uri, live, until=until)
        if move.command:
            live = _command(client, move, live, until)
        if move.snap_start:
            live = client.update_snap_start(name, bool(move.wanted.snap_start), live, until=until)
        publish = self.options.publish or move.pointed
        version = move.version or (
            client.publish(name, live, note=self._note(move), until=until) if publish else None
        )
        if version and move.wanted.snap_start and not move.version:
            _require_snapshot(client, name, version)
        updated = move.action == "update"
        self._end(move, DeployResult(move=move, status="updated" if updated else "skipped", version=version))
        if self.options.smoke and not self.stopped:
            _try(
                client,
                name,
                version or move.alias or LATEST,
                self.deployment.events[name],
                self.options,
            )
        if updated:
            self.say(f"{name}: runs {move.wanted.tag}{f' as version {version}' if version else ''}")

    def _note(self, move: FunctionUpdate) -> str:
        run, commit = self.options.run, self.options.commit
        return str(Note(run=run, tag=move.wanted.tag, before=move.alias, commit=commit)) if run else ""


def _name(move: FunctionUpdate) -> str:
    return str(move.wanted.function)


def _failed(move: FunctionUpdate, error: LaminaError, hint: str | None = None) -> DeployResult:
    problem = error.problems[0]
    where = f"{_name(move)}: {problem.where}"
    return DeployResult(
        move=move, status="failed", problem=replace(problem, where=where, hint=hint or problem.hint)
    )


def _command(client: Functions, move: FunctionUpdate, live: Live, until: float) -> Live:
    """Set a function's command. A failure says whether the function already runs the new image."""
    try:
        return client.update_command(_name(move), move.wanted.function.command, live, until=until)
    except LaminaError as error:
        if not move.image:
            raise
        problem = error.problems[0]
        what = f"it already runs {move.wanted.tag}, but still with its old command: {problem.what}"
        raise AwsError(replace(problem, what=what)) from error


def _require_snapshot(client: Functions, name: str, version: str) -> None:
    """Raise AwsError if a published version does not start from a snapshot."""
    live = client.read(name, version)
    if live is None or not live.has_snapshot:
        raise AwsError.of(
            f"version {version} is published, but without a snapshot: it starts as before",
            where="AWS GetFunction",
            hint="look at it: aws lambda get-function-configuration "
            f"--function-name {name} --qualifier {version}",
        )


def _try(client: Functions, name: str, version: str, event: bytes, options: DeployOptions) -> None:
    error, answer = client.invoke(name, version, event, until=time.monotonic() + options.timeout)
    if error:
        updated = "" if options.atomic else ", the updated functions stay updated"
        raise AwsError.of(
            f"version {version} of {name} does not answer its event: {error}: {answer[:400]}",
            where="AWS Invoke",
            hint=f"fix it and deploy again; no alias was moved{updated}",
        )


@dataclass(slots=True, kw_only=True)
class _Pointing:
    """The move of an alias of every function to its new version.

    Attributes:
        moved: functions whose alias would have to be put back.
        shifting: those of them whose calls move only when provisioned concurrency is ready.
    """

    deployment: Deployment
    alias: str
    timeout: float
    say: Callable[[str], None]
    moved: list[DeployResult] = field(default_factory=list)
    shifting: list[DeployResult] = field(default_factory=list)

    def run(self, made: Sequence[DeployResult]) -> Rollout:
        """Move the aliases. After a failure or Ctrl-C, put all of them back."""
        try:
            failed = self._move([each for each in made if each.move.pointed])
        except KeyboardInterrupt:
            self.say(self._put_back())
            stopped = (replace(each, status="stopped") if each.status == "skipped" else each for each in made)
            return Rollout(results=tuple(stopped), interrupted=True)
        return Rollout(results=tuple(self._result(each, failed) for each in made))

    def _result(self, each: DeployResult, failed: DeployResult | None) -> DeployResult:
        if failed and failed.move == each.move:
            return failed
        if each not in self.moved:
            return each
        return replace(each, status="failed" if failed else _POINTED.get(each.status, each.status))

    def _move(self, made: Sequence[DeployResult]) -> DeployResult | None:
        """Move the aliases and wait until calls have moved too.

        At the first failure put all aliases back, and return that failure.
        """
        for step, some in ((self._point, made), (self._come_over, self.shifting)):
            for each in some:
                try:
                    step(each)
                except LaminaError as error:
                    return _failed(each.move, error, hint=self._put_back())
        return None

    def _point(self, each: DeployResult) -> None:
        name, client, version = _name(each.move), self.deployment.client(each.move), str(each.version)
        self.moved.append(each)  # the alias may still move after Ctrl-C has ended the wait for the answer
        before, until = self.deployment.aliases.get(name), time.monotonic() + self.timeout
        try:
            now = client.point(name, self.alias, version, before, until=until)
        except LaminaError:
            if not _may_be_at(client, name, self.alias, version):
                self.moved.pop()
            raise
        if now.routes:
            self.say(f"{name}: {self.alias} moves to version {version} as provisioned concurrency is ready")
            self.shifting.append(each)
        else:
            self.say(f"{name}: {self.alias} is version {version}")

    def _come_over(self, each: DeployResult) -> None:
        """Wait for provisioned concurrency. Until it is ready, calls go to the old version.

        Raises AwsError if Lambda cannot provide it.
        """
        name, client = _name(each.move), self.deployment.client(each.move)
        try:
            found = client.allocated(name, self.alias, until=time.monotonic() + self.timeout)
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

    def _put_back(self) -> str:
        """Point the aliases back at their old versions. Return a hint for the error message."""
        failed: list[str] = []
        for each in self.moved:
            name, client = _name(each.move), self.deployment.client(each.move)
            before, until = self.deployment.aliases.get(name), time.monotonic() + self.timeout
            try:
                if before is None:
                    client.drop_alias(name, self.alias, until=until)
                else:
                    known = replace(before, revision=None)
                    client.point(name, self.alias, before.version, known, before.shares, until=until)
            except LaminaError:
                failed.append(name)
        names = ", ".join(_name(each.move) for each in self.moved)
        if failed:
            return f"{self.alias} could not be put back for {', '.join(failed)}: run invoke status"
        return f"{self.alias} is put back for {names}; run it again" if names else "run it again"


def _may_be_at(client: Functions, name: str, alias: str, version: str) -> bool:
    """Whether an alias names a version; also true if Lambda does not answer."""
    try:
        found = client.aliases(name).get(alias)
    except LaminaError:
        return True
    return found is not None and found.version == version
