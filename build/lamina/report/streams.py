"""Output to people: hide secrets in all of it, and never fail on a character.

Rich prints colours and what does not fit; plain lines, which logs and pipes get, need no rich.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import IO, TYPE_CHECKING, cast

from lamina.report.table import Cell, Span, TextTable

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 240
_FORCING = ("FORCE_COLOR", "TTY_COMPATIBLE")
"""Variables with which rich takes any file for a terminal."""
_CONTROLS = dict.fromkeys(map(ord, "\a\b\v\f\r"))
_TAB = 8


class Rewritten:
    """A stream that rewrites each text before it is written."""

    def __init__(self, file: IO[str], put: Callable[[str], str]) -> None:
        self._file = file
        self._put = put

    def write(self, text: str) -> int:
        """Write the rewritten text."""
        return self._file.write(self._put(text))

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


class Output:
    """Prints lines and tables on a stream.

    A pipe gets a large width, so that lines do not fold. Characters outside the stream's encoding are
    escaped: a file name must not fail a command.
    """

    def __init__(self, file: IO[str], env: Mapping[str, str], put: Callable[[str], str]) -> None:
        """Make an output. put: rewrites each text before it is written."""
        if isinstance(file, io.TextIOWrapper):
            file.reconfigure(errors="backslashreplace")
        self._file = cast("IO[str]", Rewritten(file, put))
        self._env = env
        self._tty = file.isatty()
        self._styled = self._tty or any(env.get(name) for name in _FORCING)

    @cached_property
    def rich(self) -> Console:
        """Rich's console on the stream."""
        from lamina.report.rich_console import make_console

        return make_console(self._file, self._env, width=None if self._tty else PIPE_WIDTH)

    @property
    def live(self) -> bool:
        """Whether lines can be replaced: on a real terminal, not on a file that FORCE_COLOR makes one."""
        return self._tty and self.rich.is_terminal

    @property
    def width(self) -> int:
        """Characters in a line."""
        return self.rich.width if self._tty else PIPE_WIDTH

    def line(self, text: str, style: str = "") -> None:
        """Print a text in a style of rich, and a line break."""
        self.spans((Span(text, style),))

    def spans(self, spans: Cell) -> None:
        """Print texts in their styles on one line."""
        if self._styled:
            from rich.text import Text

            self.rich.print(Text.assemble(*((span.text, span.style) for span in spans)))
        else:
            text = "".join(span.text for span in spans)
            self._write(text.translate(_CONTROLS).expandtabs(_TAB) + "\n")

    def table(self, table: TextTable) -> None:
        """Print a table."""
        lines = None if self._styled else table.lines(PIPE_WIDTH)
        if lines is None:
            self.rich.print(table.rich(), soft_wrap=False)
        else:
            self._write("".join(f"{line}\n" for line in lines))

    def ask(self, question: str) -> str:
        """Print a question on a terminal, and return the line that answers it."""
        from rich.text import Text

        return self.rich.input(Text(question))

    @contextmanager
    def status(self) -> Iterator[Callable[[str], None]]:
        """Give a function that replaces the last line of a terminal."""
        from rich.text import Text

        with self.rich.status("") as status:
            yield lambda line: status.update(Text(line))

    def _write(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()
