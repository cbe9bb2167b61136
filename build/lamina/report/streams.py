"""Consoles for people: hide secrets in all output, and never fail on a character."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import IO, Any, cast

from rich.console import Console

_PIPE_WIDTH = 240


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Let the error pass to the command's end: rich would exit here with a failure."""
        raise


class _Rewritten:
    """A stream that rewrites each text before it is written."""

    def __init__(self, file: IO[str], put: Callable[[str], str]) -> None:
        self._file = file
        self._put = put

    def write(self, text: str) -> int:
        return self._file.write(self._put(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def console(file: IO[str], env: Mapping[str, str], put: Callable[[str], str]) -> Console:
    """Make a console on a stream. put: rewrites each text before it is written.

    A pipe gets a large width, so that lines do not fold. Characters outside the stream's encoding are
    escaped: a file name must not fail a command.
    """
    if isinstance(file, io.TextIOWrapper):
        file.reconfigure(errors="backslashreplace")
    width = None if file.isatty() else _PIPE_WIDTH
    rewritten = cast("IO[str]", _Rewritten(file, put))
    return _Console(file=rewritten, width=width, highlight=False, soft_wrap=True, _environ=env)
