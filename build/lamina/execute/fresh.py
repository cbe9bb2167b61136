"""Find out whether a builder has ever built: if not, its cache hits come from the remote cache."""

from __future__ import annotations

from lamina.errors import LaminaError
from lamina.execute.engine import Engine
from lamina.process import Command, Runner

_SECONDS = 10


def is_fresh(runner: Runner, engine: Engine, builder: str) -> bool | None:
    """Return whether a builder remembers no build; None if it does not answer, or is too old to remember.

    BuildKit keeps the records of its last 50 builds, however old, and `docker builder prune` leaves them.
    """
    argv = (*engine.buildx, "history", "ls", "--format=json", f"--builder={builder}")
    try:
        done = runner.run(Command(argv=argv, env=engine.environment), timeout=_SECONDS)
    except (LaminaError, OSError):
        return None
    return not done.stdout.strip() if done.ok else None
