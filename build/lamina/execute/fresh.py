"""Find out whether a builder has ever built: if not, its cache hits come from the remote cache."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from lamina.errors import LaminaError
from lamina.execute.engine import ENGINES_BUILDER, Engine
from lamina.files import read_json, write_json
from lamina.process import Command, Runner

BOOT = Path("/proc/sys/kernel/random/boot_id")
"""Changes with each start of a machine, as the runners of CI are started from one image."""
_FILE = "builders.json"
_SECONDS = 10
_MOST = 20


class BuildersDocument(TypedDict):
    """Content of the file. built: keys of builders that have built, the latest last."""

    built: list[list[str]]


def is_fresh(runner: Runner, engine: Engine, builder: str, state: Path) -> bool | None:
    """Return whether a builder remembers no build; None if it does not answer, or is too old to remember.

    BuildKit keeps the records of its last 50 builds, however old, and `docker builder prune` leaves them. The
    engine's own builder, if it has built, is not asked again until the machine is restarted: that takes
    0.1 s. Another builder may be a new one of the same name.

    Args:
        state: the folder in which that is kept.
    """
    key, built = [engine.id, builder, _boot()], _built(state)
    lasts = bool(engine.id) and builder == ENGINES_BUILDER
    if lasts and key in built:
        return False
    argv = (*engine.buildx, "history", "ls", "--format=json", f"--builder={builder}")
    try:
        done = runner.run(Command(argv=argv, env=engine.environment), timeout=_SECONDS)
    except (LaminaError, OSError):
        return None
    if not done.ok:
        return None
    if lasts and done.stdout.strip():
        document: BuildersDocument = {"built": [*built, key][-_MOST:]}
        with contextlib.suppress(OSError):
            write_json(state / _FILE, document)
    return not done.stdout.strip()


def _built(state: Path) -> Sequence[list[str]]:
    """Return the builders that are known to have built; none if the file is missing or damaged."""
    document: BuildersDocument | None = read_json(state / _FILE)
    try:
        return list(document["built"]) if document else []
    except (KeyError, TypeError):
        return []


def _boot() -> str:
    try:
        return BOOT.read_text().strip()
    except OSError:
        return ""
