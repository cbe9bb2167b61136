"""Show lint's findings as a table and as JSON documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from lamina.json_data import JsonDocument
from lamina.lint.findings import Finding
from lamina.report import figures
from lamina.report.console import Screen, styled
from lamina.report.table import Span, TextTable


def show_findings(screen: Screen, findings: Sequence[Finding]) -> None:
    """Show findings as a table: rule, place, message, the reason and the next step."""
    table = TextTable(("rule", "severity", "where", "finding"), wide="finding")
    for each in findings:
        next_step = "--fix" if each.fix else each.hint
        text = (
            Span(each.message),
            Span(f"\nwhy: {each.why}", "dim"),
            Span(f"\n{each.certainty}, unless {each.unless}" if each.unless else "", "dim"),
            Span(f"\nnext: {next_step}" if next_step else "", "cyan"),
        )
        rule, where = f"{each.rule}\n{each.slug}", f"{each.where}\n{each.image}"
        table.add_row(rule, styled(each.severity), where, text)
    if findings:
        screen.table(table)
    counts = Counter(each.severity for each in findings)
    fixable = sum(each.fix is not None for each in findings)
    levels = ((counts[level], level) for level in ("error", "warning", "note"))
    totals = ", ".join(figures.counted(count, level) for count, level in levels)
    screen.say(totals + (f"; --fix fixes {fixable} of them" if fixable else ""))


def finding_documents(findings: Iterable[Finding]) -> list[JsonDocument]:
    """Return findings for JSON. fix: the edits that ``--fix`` makes, or null.

    An edit replaces the lines from start up to, but not including, end; both are counted from 1.
    """
    return [
        {
            "rule": each.rule,
            "name": each.slug,
            "severity": each.severity,
            "certainty": each.certainty,
            "unless": each.unless,
            "image": each.image,
            "file": each.file,
            "line": each.line,
            "message": each.message,
            "why": each.why,
            "hint": each.hint,
            "fix": [
                {"file": edit.file, "start": edit.start, "end": edit.end, "lines": list(edit.lines)}
                for edit in each.fix
            ]
            if each.fix is not None
            else None,
        }
        for each in findings
    ]
