"""Show a build while it runs: a plain line for each step; `live` has the view for terminals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.execute.step_line import step_line

if TYPE_CHECKING:
    from lamina.execute.progress import Trace
    from lamina.report.streams import Output


class BuildView:
    """Follows a build; a context manager whose ``watch`` is called after every change."""

    def __enter__(self) -> BuildView:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def watch(self, trace: Trace) -> None:
        """Take the changed trace."""


class PlainView(BuildView):
    """Prints a line for every finished step, for logs."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._said: set[str] = set()

    def watch(self, trace: Trace) -> None:
        """See `BuildView.watch`."""
        for step in trace.steps:
            if step.finished is None or step.digest in self._said or not (step.is_instruction or step.error):
                continue
            self._said.add(step.digest)
            end = "FAILED" if step.error else "CACHED" if step.cached else f"{step.seconds:.1f}s"
            self._output.line(f"{step.image}: {step_line(step.name)} {end}")
