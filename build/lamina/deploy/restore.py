"""Undo the updates of a deployment that is all or nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from lamina.aws.clients import CONNECTIONS
from lamina.aws.lambda_ import Functions
from lamina.aws.live import Live
from lamina.deploy.deploy import Deployment
from lamina.deploy.rules import FunctionUpdate
from lamina.errors import AwsError, LaminaError, Problem
from lamina.parallel import gather


def restore(
    deployment: Deployment, moves: Sequence[FunctionUpdate], timeout: float, say: Callable[[str], None]
) -> dict[str, Problem | None]:
    """Give functions what they ran before the deployment, where it changed them.

    What another client changed meanwhile is left alone.

    Args:
        deployment: the plan.
        moves: those of its updates that were begun.
        timeout: seconds one function may take.
        say: prints a line.

    Returns:
        Function name -> why it could not be put back; None if it runs what it ran. Functions that the
        deployment did not change are left out.
    """

    def bring(move: FunctionUpdate) -> tuple[bool, Problem | None]:
        name = str(move.wanted.function)
        try:
            changed = _bring_back(deployment.client(move), name, move, deployment.live[name], timeout)
        except LaminaError as error:
            problem = error.problems[0]
            return True, replace(
                problem,
                what=f"it could not be put back: {problem.what}",
                where=f"{name}: {problem.where}",
                hint="invoke status; then deploy again",
            )
        if changed:
            say(f"{name}: runs again what it ran before")
        return changed, None

    done = zip(moves, gather(bring, moves, threads=CONNECTIONS), strict=True)
    return {str(move.wanted.function): problem for move, (changed, problem) in done if changed}


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
