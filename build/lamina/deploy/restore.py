"""Undo the updates of a deployment that is all or nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from lamina.aws.clients import CONNECTIONS
from lamina.aws.lambda_ import Functions
from lamina.aws.live import Live
from lamina.deploy.deploy import Deployment
from lamina.deploy.rules import FunctionUpdate
from lamina.errors import LaminaError, Problem
from lamina.parallel import gather


def restore(deployment: Deployment, timeout: float, say: Callable[[str], None]) -> dict[str, Problem | None]:
    """Give functions what they ran before the deployment, where it changed them.

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
                what=f"it keeps {move.wanted.tag}, and could not be put back: {problem.what}",
                where=f"{name}: {problem.where}",
                hint="invoke status; then deploy again",
            )
        if changed:
            say(f"{name}: runs again what it ran before")
        return changed, None

    moves = [each for each in deployment.moves if each.action == "update"]
    done = zip(moves, gather(bring, moves, threads=CONNECTIONS), strict=True)
    return {str(move.wanted.function): problem for move, (changed, problem) in done if changed}


def _bring_back(client: Functions, name: str, move: FunctionUpdate, before: Live, timeout: float) -> bool:
    """Return whether anything had to be put back."""
    until = time.monotonic() + timeout
    live = client.at_rest(name, until=until)
    changed = False
    if move.image and live.digest != before.digest and before.uri:
        live, changed = client.update_image(name, before.uri, live, until=until), True
    if move.command and live.command != before.command:
        live, changed = client.update_command(name, before.command, live, until=until), True
    if move.snap_start and live.snap_start != before.snap_start:
        client.update_snap_start(name, before.snap_start, live, until=until)
        changed = True
    return changed
