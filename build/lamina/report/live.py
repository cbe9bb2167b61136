"""The live view of a build: a line for each image, redrawn by rich."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from lamina.execute.step_line import step_line
from lamina.report.view import BuildView

if TYPE_CHECKING:
    from lamina.execute.progress import Trace

_REFRESHES = 8
_BAR = 16


class LiveView(BuildView):
    """Shows a line for each image: a bar of its steps, the time so far, the current step."""

    def __init__(self, console: Console, images: tuple[str, ...]) -> None:
        self._images = images
        self._traces: dict[str, Trace] = {}
        self._spinner = Spinner("dots")
        self._live = Live(
            console=console, get_renderable=self._render, refresh_per_second=_REFRESHES, transient=True
        )

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def watch(self, trace: Trace) -> None:
        """See `BuildView.watch`; the view redraws on its own timer."""
        self._traces |= dict.fromkeys(trace.images, trace)

    def _render(self) -> Table:
        table = Table.grid(padding=(0, 1, 0, 0), expand=True)
        for width in (1, max(map(len, self._images), default=0), _BAR, len("1234.5s")):
            table.add_column(width=width, no_wrap=True)
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        now = time.time()
        for name in self._images:
            table.add_row(*self._row(name, now))
        return table

    def _row(self, name: str, now: float) -> tuple[RenderableType, ...]:
        trace = self._traces.get(name)
        progress = trace.progress(name, now=now) if trace else None
        if progress is None or not progress.seconds:
            return ("", name, "", "", Text("waiting", style="dim"))
        done = Text("✓", "green") if progress.exported else self._spinner
        mark = Text("✗", "red") if progress.failed else done
        bar = ProgressBar(total=max(progress.total, 1), completed=progress.done, width=_BAR)
        return (mark, name, bar, f"{progress.seconds:6.1f}s", Text(step_line(progress.current), style="dim"))
