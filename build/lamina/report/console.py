"""Write a command's output: live view or plain lines, tables, notes, errors, JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from lamina.errors import LaminaError, Problem
from lamina.json_data import Json, JsonDocument, JsonTable
from lamina.masks import Mask, environment_values
from lamina.report.alike import group_alike, pattern
from lamina.report.document import SCHEMA
from lamina.report.streams import Output
from lamina.report.table import Cell, TextTable, cell

if TYPE_CHECKING:  # `plan` must not import the modules that build
    from lamina.decide.plan import Plan
    from lamina.execute.outcome import Outcome, Saved
    from lamina.identify.explain import InputChange
    from lamina.report.github import GitHub
    from lamina.report.view import BuildView

_STYLE = {
    "append": "cyan",
    "build": "yellow",
    "built": "green",
    "retag": "cyan",
    "retagged": "cyan",
    "pushed": "green",
    "skip": "dim",
    "skipped": "dim",
    "failed": "bold red",
    "cancelled": "red",
    "started": "cyan",
    "confirmed": "green",
    "false skip": "bold red",
    "not comparable": "yellow",
    "ok": "green",
    "error": "bold red",
    "warning": "yellow",
    "note": "dim",
}
_DIFF_STYLE = {"- ": "red", "+ ": "green"}
_GITHUB = "GITHUB_ACTIONS"
_CI = ("CI", _GITHUB)
_MARGIN = 4
_SHOWN_REASONS = 3
_ROOMY = 110
_LEAST_SAVED = 0.005
"""Seconds; less is printed as none."""
_NARROWEST = 12


class Screen:
    """The output of a command. With ``as_json`` standard output gets a single JSON object.

    With ``GITHUB_ACTIONS`` it also writes workflow commands; see `GitHub`.

    Args:
        stream: the one for people's lines, if standard output is reserved for the command's result.
        plain: no live view; also without a terminal, and with ``BUILDKIT_PROGRESS=plain`` or ``CI``.
        rewrite: rewrites each text, so that commands are shown as the user runs them.
    """

    def __init__(
        self,
        *,
        as_json: bool = False,
        plain: bool = False,
        stream: IO[str] | None = None,
        env: Mapping[str, str] = os.environ,
        rewrite: Callable[[str], str] = str,
    ) -> None:
        self.mask = Mask(environment_values(env))
        """The secrets to hide in all output; it learns further ones as they become known."""
        self._json = as_json
        self._rewrite = rewrite
        self._out = Output(stream or (sys.stderr if as_json else sys.stdout), env, self._put)
        self._err = Output(sys.stderr, env, self._put)
        dull = env.get("BUILDKIT_PROGRESS") == "plain" or any(_is_on(env, name) for name in _CI)
        self.live = not (plain or dull) and self._out.live
        self._messages: list[JsonDocument] = []
        self._github: GitHub | None = None
        if _is_on(env, _GITHUB):
            from lamina.report.github import GitHub

            self._github = GitHub(self.say, env)
        self._headlines: set[str] = set()

    @property
    def errors(self) -> tuple[str, ...]:
        """The first lines of the errors printed so far, with secrets hidden."""
        texts = (str(each["text"]) for each in self._messages if each["level"] == "error")
        return tuple(self.mask.hide(text.partition("\n")[0]) for text in texts)

    def _put(self, text: str) -> str:
        return self._rewrite(self.mask.hide(text))

    def say(self, line: str) -> None:
        """Print a line about the progress of the command."""
        self._out.line(line)

    def aside(self, line: str) -> None:
        """Print a dim line."""
        self._out.line(line, "dim")

    def headline(self, line: str | None) -> None:
        """Print a line that must not be overlooked, once; nothing for None."""
        if line and line not in self._headlines:
            self._headlines.add(line)
            self._note("warning", line)
            if self._github:
                self._github.headline(line)
            self._out.line(line, "bold yellow")

    def notes(self, notes: Iterable[Problem]) -> None:
        """Print notes: what the user should know and what does not stop the command.

        Of notes that say the same about many images only the first is printed whole; JSON has them all.
        """
        for group in group_alike(notes, _cause):
            first, *others = group
            for note in group:
                self._note("note", str(note))
            if self._github:
                self._github.annotate("warning", first)
            more = f"\n  and {len(others)} more such notes: --json has them all" if others else ""
            self._out.line(f"note: {first}{more}", "yellow")

    def error(self, error: LaminaError) -> None:
        """Print every problem of an error on standard error."""
        for problem in error.problems:
            self._note("error", str(problem))
            if self._github:
                self._github.annotate("error", problem)
            text = f"error: {problem}"
            if self._github:
                from lamina.report.github import harmless

                text = harmless(text)
            self._err.line(text, "red")

    def changes(self, prefix: str, changes: Iterable[InputChange]) -> None:
        """Print each difference of an image on a line after the prefix, with its details below."""
        from lamina.identify.change_lines import ChangeLine, describe_changes

        for each in describe_changes(changes) or (ChangeLine(line="nothing differs"),):
            self.say(f"{prefix}{each.line}")
            margin = " " * (len(prefix) - len(prefix.lstrip()) + _MARGIN)
            for line in each.details:
                self._out.line(margin + line, _DIFF_STYLE.get(line[:2], "dim"))

    def plan(self, plan: Plan) -> None:
        """Print the plan as a table."""
        self.headline(plan.headline)
        self.notes(plan.notes)
        table = TextTable(("image", "action", "why", "tag"))
        for name, decision in plan.decisions.items():
            action = "append" if decision.append else decision.action
            table.add_row(name, styled(action), shown_reasons(decision.reasons), decision.image.tag)
        self.table(table)
        counts = {action: len(plan.acting(action)) for action in ("build", "retag", "skip")}
        if plan.appends:
            counts = {"append": len(plan.appends), **counts, "build": counts["build"] - len(plan.appends)}
        unknown = plan.cause or plan.unknown
        looked = f"not looked: {unknown}" if unknown else f"looked in {plan.store}"
        self.say(", ".join(f"{count} to {action}" for action, count in counts.items()) + f"; {looked}")
        if plan.cause:
            self._note("note", looked)

    def outcome(self, outcome: Outcome, *, seconds: float, brief: bool = False) -> None:
        """Print the closing table: the result of each image and, on a wide terminal, its digest.

        Args:
            seconds: of the whole command.
            brief: leave out skipped images.
        """
        roomy = self._out.width >= _ROOMY
        headings = ("image", "action", "why", "cached", "seconds", "tag")
        table = TextTable((*headings, "digest") if roomy else headings)
        for name, result in outcome.results.items():
            if brief and result.status == "skipped":
                continue
            ran = result.status == "built"
            table.add_row(
                name,
                styled(result.status),
                shown_reasons(result.reasons),
                "appended" if result.appended else f"{result.cached}/{result.total}" if ran else "",
                f"{result.seconds:.1f}" if ran else "",
                result.image.tag,
                *([(result.digest or "")[:19]] if roomy else []),
            )
        self.table(table)
        if self._github:
            self._github.summarize(outcome)
        counts: dict[str, int] = {"built": 0, "skipped": 0}
        for result in outcome.results.values():
            counts[result.status] = counts.get(result.status, 0) + 1
        self.say(", ".join(f"{count} {status}" for status, count in counts.items()) + f" in {seconds:.1f} s")
        if line := saved_line(outcome.saved_in_all, len(outcome.saved), len(outcome.results)):
            self.say(line)

    def diff(self, lines: Iterable[str]) -> None:
        """Print a unified diff."""
        for line in lines:
            self._out.line(line, _DIFF_STYLE.get(f"{line[:1]} ", ""))

    def text(self, text: str) -> None:
        """Print a text unchanged as the only standard output."""
        print(self.mask.hide(text), end="")

    def record(self, *lines: str) -> None:
        """Print lines for programs unchanged: on standard output, or on standard error beside JSON."""
        print(*map(self.mask.hide, lines), sep="\n", file=sys.stderr if self._json else sys.stdout)

    def table(self, table: TextTable) -> None:
        """Print a table. Not with ``as_json``, whose object has the same data."""
        if not self._json:
            self._out.table(table)

    def line(self, line: str, style: str = "") -> None:
        """Print a line in a style of rich."""
        self._out.line(line, style)

    def spans(self, spans: Cell) -> None:
        """Print texts in their styles on one line. Not with ``as_json``."""
        if not self._json:
            self._out.spans(spans)

    def rows(self, headings: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, wide: str = "") -> None:
        """Print a table of text cells. wide: the column to fold; if needed, the widest other folds too."""
        table, cells = TextTable(headings, wide=wide), tuple(rows)
        fixed = {
            index: max(len(row[index]) for row in (headings, *cells))
            for index, heading in enumerate(headings)
            if heading != wide
        }
        if fixed and sum(fixed.values()) + 2 * len(headings) + 2 * _NARROWEST > self._out.width:
            table.folding.add(headings[max(fixed, key=fixed.__getitem__)])
        for row in cells:
            table.add_row(*row)
        self.table(table)

    def finish(self, command: str, *, ok: bool, images: Iterable[JsonTable], **more: Json) -> None:
        """Print the JSON object of a command run with ``--json``."""
        if self._json:
            print(self.result(command, ok=ok, images=images, **more))

    def result(self, command: str, *, ok: bool, images: Iterable[JsonTable], **more: Json) -> str:
        """Return the JSON object of a command as text, with secrets hidden."""
        document = {
            "schema": SCHEMA,
            "command": command,
            "ok": ok,
            "images": list(images),
            "messages": self._messages,
            **more,
        }
        return self._rewrite(json.dumps(self.mask.hide_in(document), indent=2))

    def ask(self, question: str, *, default: bool) -> bool:
        """Ask a yes-or-no question. Without a terminal or an answer, and on Ctrl-C, return the default."""
        if self._json or not self.live or not sys.stdin.isatty():
            return default
        try:
            answer = self._out.ask(f"{question} [{'Y/n' if default else 'y/N'}] ").strip().lower()
        except (EOFError, KeyboardInterrupt):
            return default
        return answer.startswith("y") if answer else default

    @contextmanager
    def working(self) -> Iterator[Callable[[str], None]]:
        """Give a function that shows progress: in one replaced line, or without a terminal line by line."""
        if not self.live:
            yield self.say
            return
        with self._out.status() as show:
            yield show

    def progress(self, images: tuple[str, ...]) -> BuildView:
        """Return the view of a build that is about to start."""
        if self._github:
            from lamina.report.github import FoldedView

            return FoldedView(self._out, images)
        if not self.live:
            from lamina.report.view import PlainView

            return PlainView(self._out)
        from lamina.report.live import LiveView

        return LiveView(self._out.rich, images)

    def _note(self, level: str, text: str) -> None:
        self._messages.append({"level": level, "text": text})


def _cause(note: Problem) -> object:
    """Return what notes of one cause have in common: all but the image, the file and figures."""
    subject, _, rest = note.what.rpartition(": ")
    return (pattern(rest, subject), note.hint, note.unless) if note.hint else None


def saved_line(saved: Saved | None, known: int, images: int) -> str | None:
    """Return a line with a run's savings; None if unknown or nothing. known: the images with savings."""
    if saved is None or (saved.seconds < _LEAST_SAVED and not saved.bytes):
        return None
    from lamina.report import figures

    parts = [figures.seconds(saved.seconds)] if saved.seconds >= _LEAST_SAVED else []
    parts += [figures.size(saved.bytes)] if saved.bytes is not None else []
    these = "these images" if known == images else f"{known} of these {images} images"
    return f"saved {' and '.join(parts)} against the last cold build of {these}"


def _is_on(env: Mapping[str, str], name: str) -> bool:
    return env.get(name, "").lower() not in {"", "0", "false"}


def styled(word: str) -> Cell:
    """Return a word (an action, a verdict, a severity) in its colour."""
    return cell(word, style_of(word))


def style_of(word: str) -> str:
    """Return the colour of a word in rich's style; empty for a word that has none."""
    return _STYLE.get(word, "")


def shown_reasons(reasons: tuple[str, ...]) -> str:
    """Return the first reasons, and how many more there are."""
    shown = "\n".join(reasons[:_SHOWN_REASONS])
    more = len(reasons) - _SHOWN_REASONS
    return f"{shown}\nand {more} more" if more > 0 else shown
