"""Undo the updates of a deployment that is all or nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from lamina.aws.clients import CONNECTIONS
from lamina.aws.lambda_ import Functions
from lamina.aws.live import Live
from lamina.deploy.deploy import Deployment
from lamina.deploy.rules import FunctionUpdate
from lamina.errors import AwsError, LaminaError, Problem
from lamina.parallel import gather, insist


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What became of the functions of a deployment that is undone.

    Attributes:
        problems: function name -> why it could not be put back; None if it runs what it ran. Functions that
            the deployment did not change are left out.
        interrupted: whether Ctrl-C came meanwhile.
    """

    problems: Mapping[str, Problem | None]
    interrupted: bool = False


def restore(
    deployment: Deployment,
    moves: Sequence[FunctionUpdate],
    timeout: float,
    say: Callable[[str], None],
    *,
    pressed: bool = False,
) -> Restored:
    """Give functions what they ran before the deployment, where it changed them.

    What another client changed meanwhile is left alone. The first Ctrl-C is ignored; the next one leaves the
    functions as they are.

    Args:
        deployment: the plan.
        moves: those of its updates that were begun.
        timeout: seconds one function may take.
        say: prints a line.
        pressed: whether Ctrl-C ended the deployment: then it was the first one.
    """
    done: dict[str, tuple[bool, Problem | None]] = {}

    def bring(move: FunctionUpdate) -> None:
        name = str(move.wanted.function)
        try:
            changed = _bring_back(deployment.client(move), name, move, deployment.live[name], timeout)
        except LaminaError as error:
            done[name] = True, _not_back(name, error.problems[0])
            return
        if changed:
            say(f"{name}: runs again what it ran before")
        done[name] = changed, None

    warning = "functions are being put back (Ctrl-C again: leave them as they are)"
    work = partial(gather, bring, moves, threads=CONNECTIONS)
    interrupted = insist(work, at_ctrl_c=lambda: say(warning), pressed=pressed)
    names = [str(move.wanted.function) for move in moves]
    known = dict(done)
    unknown = Problem(what="its return was not waited for", where="AWS Lambda")
    left = {name: _not_back(name, unknown) for name in names if name not in known}
    problems = {name: problem for name, (changed, problem) in known.items() if changed}
    return Restored(problems={**problems, **left}, interrupted=interrupted)


def _not_back(name: str, problem: Problem) -> Problem:
    return replace(
        problem,
        what=f"it could not be put back: {problem.what}",
        where=f"{name}: {problem.where}",
        hint="invoke status; then deploy again",
    )


def _bring_back(client: Functions, name: str, move: FunctionUpdate, before: Live, timeout: float) -> bool:
    """Return whether anything had to be put back.

    A command belongs to its image: under an image of another client it stays as it is.

    Raises AwsError if another client changed the function meanwhile.
    """
    until = time.monotonic() + timeout
    live = client.at_rest(name, until=until)
    _require_ours("image", live.digest, (None, before.digest, move.wanted.digest))
    changed = False
    if move.image and live.digest != before.digest and before.uri:
        live, changed = client.update_image(name, before.uri, live, until=until), True
    if move.snap_start and live.snap_start != before.snap_start:
        live, changed = client.update_snap_start(name, before.snap_start, live, until=until), True
    _require_ours("command", live.command, (before.command, move.wanted.function.command))
    if move.command and live.command != before.command:
        client.update_command(name, before.command, live, until=until)
        changed = True
    return changed


def _require_ours(part: str, live: object, known: Sequence[object]) -> None:
    if live not in known:
        raise AwsError.of(
            f"another client changed its {part} meanwhile, which stays as it is", where="AWS Lambda"
        )
