"""What people see: the live view, plain lines where there is no terminal, tables, errors, JSON."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lamina.errors import LaminaError, Problem
from lamina.identify.telling import Told, tell
from lamina.report import figures
from lamina.report.document import SCHEMA
from lamina.report.view import BuildView, LiveView, PlainView

if TYPE_CHECKING:  # a plan is shown without what builds being imported
    from lamina.decide.plan import Plan
    from lamina.execute.audit import Audited
    from lamina.execute.outcome import Outcome, Saved
    from lamina.identify.explain import Change

_STYLE = {
    "build": "yellow",
    "built": "green",
    "retag": "cyan",
    "retagged": "cyan",
    "pushed": "green",
    "skip": "dim",
    "skipped": "dim",
    "failed": "bold red",
    "cancelled": "red",
    "confirmed": "green",
    "false skip": "bold red",
    "not comparable": "yellow",
}
_DIFF_STYLE = {"- ": "red", "+ ": "green"}
_MARGIN = 4
_SHOWN_REASONS = 3
_PIPE_WIDTH = 240
_ROOMY = 110
_NARROWEST = 12


class Screen:
    """Where a command writes. With ``as_json`` nothing goes to standard output but one object.

    plain: no live view, as with ``BUILDKIT_PROGRESS=plain``, ``CI`` or an output that is no terminal.
    """

    def __init__(
        self, *, as_json: bool = False, plain: bool = False, env: Mapping[str, str] = os.environ
    ) -> None:
        self._json = as_json
        self._out = _console(sys.stderr if as_json else sys.stdout)
        self._err = _console(sys.stderr)
        told = env.get("BUILDKIT_PROGRESS") == "plain" or env.get("CI", "").lower() not in {"", "0", "false"}
        self.live = not (plain or told) and self._out.is_terminal
        self._messages: list[dict[str, Any]] = []

    def say(self, line: str) -> None:
        """A line about what is going on."""
        self._out.print(Text(line))

    def headline(self, line: str | None) -> None:
        """What must not be overlooked; nothing when there is nothing."""
        if line:
            self._note("warning", line)
            self._out.print(Text(line, style="bold yellow"))

    def notes(self, notes: Iterable[Problem]) -> None:
        """Things the user should know that stop nothing."""
        for note in notes:
            self._note("note", str(note))
            self._out.print(Text(f"note: {note}", style="yellow"))

    def error(self, error: LaminaError) -> None:
        """Every problem of an error, on standard error."""
        for problem in error.problems:
            self._note("error", str(problem))
            self._err.print(Text(f"error: {problem}", style="red"))

    def changes(self, prefix: str, changes: Iterable[Change]) -> None:
        """What differs in an image, a line each behind the prefix, and below it what there is to show."""
        for each in tell(changes) or (Told(line="nothing differs"),):
            self.say(f"{prefix}{each.line}")
            margin = " " * (len(prefix) - len(prefix.lstrip()) + _MARGIN)
            for line in each.details:
                self._out.print(Text(margin + line, style=_DIFF_STYLE.get(line[:2], "dim")))

    def plan(self, plan: Plan) -> None:
        """The plan as a table."""
        self.headline(plan.headline)
        self.notes(plan.notes)
        table = _table("image", "action", "why", "tag")
        for name, decision in plan.decisions.items():
            table.add_row(name, _styled(decision.action), _reasons(decision.reasons), decision.image.tag)
        self._print(table)
        counts = {action: len(plan.acting(action)) for action in ("build", "retag", "skip")}
        looked = f"not looked: {plan.unknown}" if plan.unknown else f"looked in {plan.place}"
        self.say(", ".join(f"{count} to {action}" for action, count in counts.items()) + f"; {looked}")

    def outcome(self, outcome: Outcome, *, seconds: float) -> None:
        """The closing table: what was done with each image, and, where there is room, its digest."""
        roomy = self._out.width >= _ROOMY
        table = _table("image", "action", "why", "cached", "seconds", "tag", *(["digest"] if roomy else []))
        for name, result in outcome.results.items():
            ran = result.status == "built"
            table.add_row(
                name,
                _styled(result.status),
                _reasons(result.reasons),
                f"{result.cached}/{result.total}" if ran else "",
                f"{result.seconds:.1f}" if ran else "",
                result.image.tag,
                *([(result.digest or "")[:19]] if roomy else []),
            )
        self._print(table)
        counts: dict[str, int] = {"built": 0, "skipped": 0}
        for result in outcome.results.values():
            counts[result.status] = counts.get(result.status, 0) + 1
        self.say(", ".join(f"{count} {status}" for status, count in counts.items()) + f" in {seconds:.1f} s")
        if line := saved_line(outcome.saved_in_all, len(outcome.saved), len(outcome.results)):
            self.say(line)

    def audit(self, audited: Iterable[Audited], *, skipped: int, seed: int | None) -> None:
        """The verdicts as a table. skipped: of how many images. seed: of the sample, if it is one."""
        table = _table("image", "verdict", "why", "cached", "tag")
        counts: dict[str, int] = {"confirmed": 0, "false skip": 0, "not comparable": 0}
        for each in audited:
            verdict = each.verdict
            counts[verdict.conclusion] += 1
            table.add_row(
                each.image.name,
                _styled(verdict.conclusion),
                _reasons(verdict.reasons),
                f"{each.cached}/{each.total}",
                each.image.tag,
            )
        self._print(table)
        told = ", ".join(f"{number} {conclusion}" for conclusion, number in counts.items())
        sample = f"; sample of {skipped} chosen by --seed {seed}" if seed is not None else ""
        self.say(f"{told}{sample}")

    def rows(self, headings: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, wide: str = "") -> None:
        """Any other table. wide: the column that may be folded."""
        table = _table(*headings, wide=wide)
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        self._print(table)

    def finish(self, command: str, *, ok: bool, images: list[dict[str, Any]], **more: Any) -> None:
        """Print the JSON object of a command that was asked for one."""
        if self._json:
            document = {
                "schema": SCHEMA,
                "command": command,
                "ok": ok,
                "images": images,
                "messages": self._messages,
                **more,
            }
            print(json.dumps(document, indent=2))

    @contextmanager
    def working(self) -> Iterator[Callable[[str], None]]:
        """Tell what is going on: in one line that is replaced; where there is no terminal, line by line."""
        if not self.live:
            yield self.say
            return
        with self._out.status("") as status:
            yield lambda line: status.update(Text(line))

    def progress(self, images: tuple[str, ...]) -> BuildView:
        """A view of a build that is about to start."""
        return LiveView(self._out, images) if self.live else PlainView(self._out)

    def _note(self, level: str, text: str) -> None:
        self._messages.append({"level": level, "text": text})

    def _print(self, table: Table) -> None:
        self._out.print(table, soft_wrap=False)


def saved_line(saved: Saved | None, known: int, images: int) -> str | None:
    """What a run spared; None where nothing can be said. known: of how many of its images that is known."""
    if saved is None:
        return None
    told = figures.seconds(saved.seconds)
    told += f" and {figures.size(saved.bytes)}" if saved.bytes is not None else ""
    these = "these images" if known == images else f"{known} of these {images} images"
    return f"saved {told} against the last cold build of {these}"


def _console(file: IO[str]) -> Console:
    """A pipe has no width of its own: there, nothing should be folded.

    What the stream's encoding lacks comes out as an escape: no file name may end a command.
    """
    if isinstance(file, io.TextIOWrapper):
        file.reconfigure(errors="backslashreplace")
    width = None if file.isatty() else _PIPE_WIDTH
    return Console(file=file, width=width, highlight=False, soft_wrap=True)


def _table(*headings: str, wide: str = "why") -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        least = _NARROWEST if heading == wide else None
        table.add_column(heading, overflow="fold", no_wrap=heading != wide, min_width=least)
    return table


def _styled(word: str) -> Text:
    return Text(word, style=_STYLE.get(word, ""))


def _reasons(reasons: tuple[str, ...]) -> Text:
    shown = "\n".join(reasons[:_SHOWN_REASONS])
    more = len(reasons) - _SHOWN_REASONS
    return Text(f"{shown}\nand {more} more" if more > 0 else shown)
