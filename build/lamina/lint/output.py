"""Where lint's findings go: to the terminal in a format, or to a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lamina.errors import ConfigError, Problem, unknown_format
from lamina.files import write_atomic
from lamina.flow.session import Session
from lamina.lint.findings import Finding
from lamina.lint.formats import PROGRAMS, finding_documents, program_text
from lamina.lint.show import concise_lines, full_lines, statistics_lines, total_line

_PEOPLE = {"full": full_lines, "concise": concise_lines, "statistics": statistics_lines}
_FORMATS = (*_PEOPLE, "json", *PROGRAMS)
_CHECKOUTS = {"github": "GITHUB_WORKSPACE", "gitlab": "CI_PROJECT_DIR"}
"""A format whose paths are relative to the checkout -> the variable that names the checkout's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingsOutput:
    """The format and the place of findings.

    Attributes:
        form: one of `_FORMATS`.
        file: None for standard output.
        json: whether standard output gets the JSON object of the command.
        notes: whether notes are shown too; JSON, GitLab's report and SARIF always have them.
        version: of Lamina.
    """

    form: str
    file: str | None
    json: bool
    notes: bool
    version: str

    def check(self) -> None:
        """Raise ConfigError if there is no such format, or if two formats want standard output."""
        problems = []
        if self.form not in _FORMATS:
            problems.append(unknown_format(self.form, _FORMATS, flag="--output-format"))
        elif self.json and self.form not in {"full", "json"} and not self.file:
            what = f"--json and --output-format {self.form} both want standard output"
            problems.append(Problem(what=what, where="--json", hint="name a file: --output-file FILE"))
        ConfigError.check(problems)

    def write(self, session: Session, findings: Sequence[Finding], *, ok: bool) -> None:
        """Show the findings, or write them to the file and show them in full.

        Args:
            ok: see `Screen.result`.
        """
        screen = session.screen
        shown = findings if self.notes else tuple(each for each in findings if each.counts)
        if self.file or self.form in _PEOPLE:
            lines = full_lines if self.file else _PEOPLE[self.form]
            for line in lines(shown):
                screen.spans(line)
            screen.say(total_line(findings, hidden=len(findings) - len(shown)))
        if self.file:
            text = self._text(session, findings, shown, ok=ok)
            write_atomic(Path(self.file), screen.mask.hide(text))
        elif self.form in PROGRAMS:
            screen.text(self._text(session, findings, shown, ok=ok))
        if self.json or (self.form == "json" and not self.file):
            screen.finish("lint", ok=ok, images=[], findings=finding_documents(findings))

    def _text(
        self, session: Session, findings: Sequence[Finding], shown: Sequence[Finding], *, ok: bool
    ) -> str:
        if self.form in PROGRAMS:
            seen = shown if self.form == "github" else findings
            moved = from_checkout(seen, self.form, session.project.root)
            return program_text(self.form, moved, version=self.version)
        if self.form == "json":
            documents = finding_documents(findings)
            return session.screen.result("lint", ok=ok, images=[], findings=documents) + "\n"
        lines = _PEOPLE[self.form](shown)
        return "".join(f"{''.join(span.text for span in line)}\n" for line in lines)


def from_checkout(findings: Iterable[Finding], form: str, root: Path) -> list[Finding]:
    """Return the findings with paths relative to the checkout, of which the project may be a folder."""
    checkout = Path(os.environ.get(_CHECKOUTS.get(form, ""), "") or root)
    inside = root.relative_to(checkout) if root.is_relative_to(checkout) else Path()
    return [replace(each, file=(inside / each.file).as_posix()) for each in findings]
