"""Write the metrics of a build where the setting says. What goes wrong is a note and fails nothing."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from lamina.declare.settings import EMBEDDED_LINES, METRICS_OUTPUT, PROMETHEUS, SETTINGS
from lamina.errors import LaminaError, Problem
from lamina.files import write_atomic
from lamina.flow.session import Session
from lamina.telemetry.command_run import CommandRun
from lamina.telemetry.metrics import embedded, measure, prometheus


def write_metrics(session: Session, target: str, source: str, run: CommandRun) -> None:
    """Write the metrics of a finished command. target: the setting, which has this source.

    A path from the configuration file starts at the project's folder, another one at the current folder.
    """
    stack = session.flags.stack or os.environ.get("LAMINA_STACK") or str(SETTINGS["stack"].default)
    with suppress(LaminaError, OSError):  # the configuration may be what is wrong
        stack = session.project.settings.stack
    found = measure(run, project=session.root.name, stack=stack, pushed=session.flags.push)
    if target == METRICS_OUTPUT:
        session.screen.record(*embedded(found))
        return
    file = Path(target)
    try:
        given = source.startswith(("--", "$"))
        file = (Path.cwd() if given else session.root) / file.expanduser()
        if file.suffix == PROMETHEUS:
            write_atomic(file, _bytes(session, prometheus(found)))
        elif file.suffix == EMBEDDED_LINES:
            _append(file, _bytes(session, "".join(f"{line}\n" for line in embedded(found))))
        else:
            write_atomic(file, _bytes(session, "".join(f"{line}\n" for line in embedded(found))))
    except (OSError, RuntimeError) as error:  # RuntimeError: a user's home folder that is not known
        what = f"the metrics were not written: {getattr(error, 'strerror', None) or error}"
        session.screen.notes([Problem(what=what, where=str(file))])


def _append(file: Path, lines: bytes) -> None:
    """Add lines in one write, so that those of runs at the same time stay whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, lines)
    finally:
        os.close(handle)


def _bytes(session: Session, text: str) -> bytes:
    """Return a text without secrets as bytes; the name of a folder may hold some that are not UTF-8."""
    return session.mask.hide(text).encode("utf-8", "backslashreplace")
