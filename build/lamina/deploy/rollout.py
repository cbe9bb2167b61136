"""Carry out a deployment: update every function, wait, call it if asked to; then move aliases, all or none.

Ctrl-C starts no further update, waits for those under way, and leaves aliases as they were.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from lamina.aws.clients import CONNECTIONS
from lamina.aws.lambda_ import Functions
from lamina.aws.live import LATEST, Live
from lamina.deploy.canary import Waiting
from lamina.deploy.deploy import Deployment, DeployOptions
from lamina.deploy.judge import answer_problem
from lamina.deploy.pointing import Pointing
from lamina.deploy.restore import Restored, restore
from lamina.deploy.results import DeployResult, Rollout, Status, failed, name_of, note_of
from lamina.deploy.rules import FunctionUpdate
from lamina.errors import AwsError, LaminaError


def apply(
    deployment: Deployment,
    options: DeployOptions,
    *,
    say: Callable[[str], None] = lambda _: None,
    dry_run: bool = False,
    waiting: Waiting | None = None,
) -> Rollout:
    """Carry out a deployment; with ``dry_run`` only return its plan.

    A function's failure is in its result. The other functions are still updated, but no alias moves.
    """
    if dry_run:
        return Rollout(results=tuple(DeployResult(move=each, status="planned") for each in deployment.moves))
    made = _Updates(deployment=deployment, options=options, say=say).run()
    if options.alias is not None and not made.incomplete:
        pointing = Pointing(
            deployment=deployment,
            alias=options.alias,
            options=options,
            say=say,
            waiting=waiting or Waiting(),
        )
        made = pointing.run(made.results)
    if options.atomic and made.incomplete:
        begun = [
            each.move for each in made.results if each.move.action == "update" and each.status != "stopped"
        ]

        def tell(line: str) -> None:
            with suppress(OSError):  # see `_Updates._tell`
                say(line)

        back = restore(deployment, begun, options.timeout, tell, pressed=made.interrupted)
        return _returned(made, back)
    return made


def _returned(made: Rollout, restored: Restored) -> Rollout:
    """Return the result after functions were put back."""
    problems = restored.problems

    def result(each: DeployResult) -> DeployResult:
        name = name_of(each.move)
        if name not in problems:
            return each
        problem = problems[name]
        status: Status = "failed" if each.problem or problem else "returned"
        if each.problem and problem:
            problem = replace(each.problem, what=f"{each.problem.what}\n  {problem.what}", hint=problem.hint)
        return replace(
            each, status=status, problem=problem or each.problem, now=each.now if problem else None
        )

    interrupted = made.interrupted or restored.interrupted
    return replace(made, results=tuple(map(result, made.results)), interrupted=interrupted)


@dataclass(slots=True, kw_only=True)
class _Updates:
    """The updates of a deployment's functions, several at once.

    The threads are daemons, so that a second Ctrl-C exits at once.

    Attributes:
        changing: names of the functions being updated, to be waited for at Ctrl-C.
        done: results so far, by function name.
        times: when updates began and ended, or were last heard of, by function name.
    """

    deployment: Deployment
    options: DeployOptions
    say: Callable[[str], None]
    left: deque[FunctionUpdate] = field(default_factory=deque)
    changing: set[str] = field(default_factory=set)
    times: dict[str, tuple[float, float]] = field(default_factory=dict)
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
            begun = name_of(move) in self.changing
            done = self.done.get(
                name_of(move), DeployResult(move=move, status="begun" if begun else "stopped")
            )
            return replace(done, span=self.times.get(name_of(move)))

    def _stop(self) -> None:
        """Start no further update and wait for those under way; a second Ctrl-C ends the wait."""
        with self.state:
            self.stopped = True
            under_way = sorted(self.changing)
        with suppress(KeyboardInterrupt):
            if under_way:
                self._tell(
                    f"stopping: waiting for {', '.join(under_way)} (Ctrl-C again: leave without waiting)"
                )
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
                self.changing.add(name_of(move))
                self.times[name_of(move)] = (time.time(), time.time())
            try:
                self._bring(move)
            except LaminaError as error:
                self._end(move, self._half_done(move, error))
            except Exception as error:  # the main thread raises it
                self.fault = error
            with self.state:
                self.changing.discard(name_of(move))
                self._heard_of(move)
                self.ended += 1
                self.state.notify_all()

    def _end(self, move: FunctionUpdate, result: DeployResult) -> None:
        with self.state:
            self.changing.discard(name_of(move))
            self.done[name_of(move)] = result
            self._heard_of(move)
            self.state.notify_all()

    def _heard_of(self, move: FunctionUpdate) -> None:
        self.times[name_of(move)] = (self.times[name_of(move)][0], time.time())

    def _half_done(self, move: FunctionUpdate, error: LaminaError) -> DeployResult:
        """Return the result of a function with an error, and whether it was updated before that."""
        with self.state:
            done = self.done.get(name_of(move), DeployResult(move=move, status="failed"))
        if done.now is None and move.action == "update":
            with suppress(LaminaError):
                now = self.deployment.client(move).read(name_of(move))
                done = replace(done, now=now if _has_part(now, move) else None)
        return failed(done, error)

    def _bring(self, move: FunctionUpdate) -> None:
        """Update one function; publish a version and call it if the options say so."""
        name, client, until = (
            name_of(move),
            self.deployment.client(move),
            time.monotonic() + self.options.timeout,
        )
        live = self.deployment.live[name]
        if move.action == "update":
            self._tell(f"{name}: gets {move.wanted.tag}")
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
        self._end(
            move,
            DeployResult(
                move=move,
                status="updated" if updated else "skipped",
                version=version,
                now=live if updated else None,
            ),
        )
        if self.options.smoke and not self.stopped:
            _try(
                client,
                name,
                version or move.alias or LATEST,
                self.deployment.events[name],
                self.options,
            )
        if updated:
            self._tell(f"{name}: runs {move.wanted.tag}{f' as version {version}' if version else ''}")

    def _tell(self, line: str) -> None:
        """Print a line. Ctrl-C may also end what reads it (``deploy | tee``): what was begun goes on."""
        try:
            self.say(line)
        except OSError:
            if not self.stopped:
                raise

    def _note(self, move: FunctionUpdate) -> str:
        return note_of(move, self.options) if self.options.run else ""


def _has_part(now: Live | None, move: FunctionUpdate) -> bool:
    """Whether a function has the image or the command of its update."""
    image = move.image and now is not None and now.digest == move.wanted.digest
    return image or (move.command and now is not None and now.command == move.wanted.function.command)


def _command(client: Functions, move: FunctionUpdate, live: Live, until: float) -> Live:
    """Set a function's command. A failure says whether the function already runs the new image."""
    try:
        return client.update_command(name_of(move), move.wanted.function.command, live, until=until)
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
    """Call a function with its event. Raises AwsError if it fails."""
    if problem := answer_problem(client, name, version, event, options.timeout):
        updated = "" if options.atomic else ", the updated functions stay updated"
        raise AwsError(replace(problem, hint=f"fix it and deploy again; no alias was moved{updated}"))
