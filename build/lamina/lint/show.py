"""What lint shows: findings as a table and as documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rich.text import Text

from lamina.lint.findings import Finding
from lamina.report import figures
from lamina.report.console import Screen, make_table, styled


def show_findings(screen: Screen, findings: Sequence[Finding]) -> None:
    """What lint found as a table: what and where, below that why, and what to do."""
    table = make_table("rule", "severity", "where", "what", wide="what")
    for each in findings:
        next_step = "--fix mends it" if each.fix else each.hint
        told = Text(each.message)
        told.append(f"\nwhy: {each.why}", style="dim")
        told.append(f"\n{each.certainty}, unless {each.unless}" if each.unless else "", style="dim")
        told.append(f"\nnext: {next_step}" if next_step else "", style="cyan")
        where = Text(f"{each.where}\n{each.image}")
        table.add_row(Text(f"{each.rule}\n{each.slug}"), styled(each.severity), where, told)
    if findings:
        screen.table(table)
    counts = Counter(each.severity for each in findings)
    mended = sum(each.fix is not None for each in findings)
    levels = ((counts[level], level) for level in ("error", "warning", "note"))
    told_counts = ", ".join(figures.counted(count, level) for count, level in levels)
    screen.say(told_counts + (f"; --fix mends {mended} of them" if mended else ""))


def finding_documents(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """What lint found. fix: the edits that ``--fix`` makes, null where there are none.

    An edit replaces the lines from start up to end, which stays, both counted from 1.
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
            "fix": each.fix
            and [
                {"file": edit.file, "start": edit.start, "end": edit.end, "lines": list(edit.lines)}
                for edit in each.fix
            ],
        }
        for each in findings
    ]
