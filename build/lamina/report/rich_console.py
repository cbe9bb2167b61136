"""Rich's console, for terminals and for what does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO

from rich.console import Console


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Let the error pass to the command's end: rich would exit here with a failure."""
        raise


def make_console(file: IO[str], env: Mapping[str, str], *, width: int | None) -> Console:
    """Make a console on a stream. width: None asks the terminal."""
    return _Console(file=file, width=width, highlight=False, soft_wrap=True, _environ=env)
