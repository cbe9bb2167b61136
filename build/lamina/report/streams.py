"""The streams that people read: nothing is written that should not be read, nothing breaks on a character."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import IO, Any, cast

from rich.console import Console

_PIPE_WIDTH = 240


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to whoever ends the command: rich would end it here, as a failure."""
        raise


class _Rewritten:
    """A stream whose texts are put in other words; in all else the stream itself."""

    def __init__(self, file: IO[str], put: Callable[[str], str]) -> None:
        self._file = file
        self._put = put

    def write(self, text: str) -> int:
        return self._file.write(self._put(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def console(file: IO[str], env: Mapping[str, str], put: Callable[[str], str]) -> Console:
    """A console on a stream. put: what each text becomes before it is written.

    A pipe has no width of its own: there, nothing should be folded. What the stream's encoding lacks comes
    out as an escape: no file name may end a command.
    """
    if isinstance(file, io.TextIOWrapper):
        file.reconfigure(errors="backslashreplace")
    width = None if file.isatty() else _PIPE_WIDTH
    rewritten = cast("IO[str]", _Rewritten(file, put))
    return _Console(file=rewritten, width=width, highlight=False, soft_wrap=True, _environ=env)
