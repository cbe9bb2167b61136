"""Write for GitHub Actions: a fold for each image's log, annotations at file and line, a job summary.

Source: https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lamina.execute.step_line import step_line
from lamina.report.view import BuildView

if TYPE_CHECKING:
    from lamina.errors import Problem
    from lamina.execute.outcome import Outcome
    from lamina.execute.progress import BakeStep, Trace
    from lamina.report.streams import Output

_PLACE = re.compile(r"(?P<file>[^:]+):(?P<line>\d+)(?::\d+)?")
_DIGEST = 19
_REASONS = 3


class GitHub:
    """The additional output for a job of GitHub Actions. write: prints a whole line."""

    def __init__(
        self, write: Callable[[str], None], env: Mapping[str, str], here: Path | None = None
    ) -> None:
        self._write = write
        self._summary = env.get("GITHUB_STEP_SUMMARY")
        self._here = here or Path.cwd()
        self._top = Path(env.get("GITHUB_WORKSPACE") or self._here)
        self._headlines: list[str] = []

    def annotate(self, level: Literal["error", "warning"], problem: Problem) -> None:
        """Annotate a problem, at its file and line if it has them."""
        found = _PLACE.fullmatch(problem.where or "")
        file = self._file(found["file"]) if found else None
        if found and file:
            text = str(problem).removeprefix(f"{problem.where}: ")
            self._write(annotation(level, text, file=file, line=found["line"]))
        else:
            self._write(annotation(level, str(problem)))

    def headline(self, line: str) -> None:
        """Write a headline as a warning, and keep it for the summary."""
        self._headlines.append(line)
        self._write(annotation("warning", line))

    def summarize(self, outcome: Outcome) -> None:
        """Append the closing table as Markdown to the job summary."""
        if not self._summary:
            return
        try:
            with Path(self._summary).open("a", encoding="utf-8") as file:
                file.write(_markdown(outcome, self._headlines))
        except OSError:  # a summary must not fail the job
            return

    def _file(self, path: str) -> str | None:
        """Return a path of the project relative to the checked-out repository; None if it is not a file."""
        for folder in (self._here, *self._here.parents):
            file = folder / path
            if file.is_file():
                inside = file.is_relative_to(self._top)
                return (file.relative_to(self._top) if inside else file).as_posix()
            if folder == self._top:
                return None
        return None


class FoldedView(BuildView):
    """Prints the log of each image in its own fold when the image is done or has failed."""

    def __init__(self, output: Output, images: tuple[str, ...]) -> None:
        self._output = output
        self._waiting = dict.fromkeys(images)
        self._traces: dict[str, Trace] = {}

    def __exit__(self, *_: object) -> None:
        for image in tuple(self._waiting):
            self._tell(image)

    def watch(self, trace: Trace) -> None:
        """See `BuildView.watch`."""
        self._traces |= dict.fromkeys(trace.images, trace)
        for image in tuple(self._waiting):
            progress = trace.progress(image, now=0) if image in trace.images else None
            if progress and (progress.exported or progress.failed):
                self._tell(image)

    def _tell(self, image: str) -> None:
        del self._waiting[image]
        trace = self._traces.get(image)
        lines = [line for step in (trace.of(image) if trace else ()) for line in _log(step)]
        if not lines:
            return
        log = harmless("\n".join(lines))
        self._output.line(f"::group::{image}\n{log}\n::endgroup::")


def annotation(level: str, text: str, **properties: str | int) -> str:
    """Return the workflow command that shows a text; file, line, col and title are its properties."""
    given = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items())
    return f"::{level}{' ' if given else ''}{given}::{_data(text)}"


def harmless(text: str) -> str:
    """Return a text in which GitHub runs no workflow command, whatever a build printed."""
    if "::" not in text and "##[" not in text:
        return text
    stop = secrets.token_hex(16)
    return f"::stop-commands::{stop}\n{text}\n::{stop}::"


def _log(step: BakeStep) -> Iterable[str]:
    """Yield the line of a finished step, and its log."""
    if not (step.is_instruction or step.error) or (step.finished is None and not step.error):
        return
    end = "FAILED" if step.error else "CACHED" if step.cached else f"{step.seconds:.1f}s"
    yield f"{step_line(step.name)} {end}"
    yield from (f"    {line}" for line in step.log)


def _markdown(outcome: Outcome, headlines: Iterable[str]) -> str:
    rows = [("image", "action", "why", "seconds", "digest"), ("---", "---", "---", "---:", "---")]
    for name, result in outcome.results.items():
        more = len(result.reasons) - _REASONS
        reasons = (*result.reasons[:_REASONS], *([f"and {more} more"] if more > 0 else []))
        rows.append(
            (
                markdown_cell(name),
                result.status,
                "<br>".join(map(markdown_cell, reasons)),
                f"{result.seconds:.1f}" if result.status == "built" else "",
                f"`{result.digest[:_DIGEST]}`" if result.digest else "",
            )
        )
    warnings = "".join(f"> {markdown_cell(line)}\n\n" for each in headlines for line in each.splitlines())
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return f"{warnings}{table}\n"


def markdown_cell(text: str) -> str:
    """Escape a text for a cell of a Markdown table, on one line."""
    return re.sub(r"([\\|`*_<>\[\]])", r"\\\1", text).replace("\r", " ").replace("\n", "<br>")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
