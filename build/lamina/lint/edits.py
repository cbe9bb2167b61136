"""Edits of texts: applied without touching a byte of other lines, and shown as a diff."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lamina.lint.findings import Edit, Finding, Fix


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """The new text of a file. before: None for a new file."""

    path: str
    before: str | None
    after: str


def choose(findings: Iterable[Finding], refused: Mapping[Fix, str]) -> tuple[Fix, ...]:
    """Return fixes that can be applied together: no two of them touch the same lines."""
    chosen: dict[Fix, None] = {}
    taken: list[Edit] = []
    for finding in findings:
        fix = finding.fix
        if (
            fix
            and fix not in refused
            and fix not in chosen
            and not any(_meet(a, b) for a in fix for b in taken)
        ):
            chosen[fix] = None
            taken += fix
    return tuple(chosen)


def _meet(one: Edit, other: Edit) -> bool:
    """Whether two edits touch the same or adjacent lines, where their order would matter."""
    return one.file == other.file and one.start <= other.end and other.start <= one.end


def apply(text: str, edits: Iterable[Edit]) -> str:
    """Return the text after edits that do not overlap; new lines get the line end of the first line."""
    end = "\r\n" if text.partition("\n")[0].endswith("\r") else "\n"
    lines = text.split("\n")
    lines = [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    for edit in sorted(edits, key=lambda each: (each.start, each.end), reverse=True):
        if edit.start > len(lines) and lines and not lines[-1].endswith("\n"):
            lines[-1] += end
        lines[edit.start - 1 : edit.end - 1] = [f"{line}{end}" for line in edit.lines]
    made = "".join(lines)
    return made if not text or text.endswith("\n") else made.removesuffix(end)


def diff(path: str, before: str | None, after: str) -> Iterator[str]:
    """Return the lines of a unified diff. before: None for a new file."""
    old, new = ((text or "").replace("\r\n", "\n").split("\n") for text in (before, after))
    old, new = ([*lines[:-1]] if lines[-1] == "" else lines for lines in (old, new))
    head = "/dev/null" if before is None else f"a/{path}"
    return difflib.unified_diff(old, new, head, f"b/{path}", lineterm="")
