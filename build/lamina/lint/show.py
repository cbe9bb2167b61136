"""Show lint's findings to people: with reason and next step, a line each, or counted by rule."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from lamina.lint.examples import EXAMPLES
from lamina.lint.findings import Finding, Severity
from lamina.lint.gains import GAINS
from lamina.lint.rule import LintRule
from lamina.report import figures
from lamina.report.alike import group_alike, pattern
from lamina.report.console import style_of
from lamina.report.table import Cell, Span

_SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
_NAMED = 3
_HIDDEN = re.compile(r": (?P<rule>line \d+ `.*` of .+) hides it$")


def full_lines(findings: Sequence[Finding]) -> Iterator[Cell]:
    """Yield each finding with its reason and the next step; warnings and notes of one cause only once.

    So are the sources that one line of an ignore file hides. Errors are first, then warnings and notes.
    """
    ordered = sorted(findings, key=lambda each: _SEVERITIES.index(each.severity))
    for group in group_alike(ordered, _cause):
        first, *others = group
        yield _line(first)
        if others:
            same = all(_text(each) == _text(first) for each in others)
            also = "also in" if same else "also, with other figures, in"
            if _HIDDEN.search(first.message):
                also = f"it hides {figures.counted(len(others), 'more source')}:"
            yield (Span(f"  {also} {_places(others)}"),)
        yield (Span(f"  why: {first.why}", "dim"),)
        if first.unless:
            yield (Span(f"  {first.certainty}, unless {first.unless}", "dim"),)
        if first.fix or first.hint:
            help_ = _fix(first.rule) if first.fix else (first.hint or "").replace("\n", "\n    ")
            yield (Span(f"  help: {help_}", "cyan"),)
        yield ()


def concise_lines(findings: Sequence[Finding]) -> Iterator[Cell]:
    """Yield a line for each finding; ``[*]`` marks those that ``--fix`` fixes."""
    return (_line(each) for each in findings)


def statistics_lines(findings: Sequence[Finding]) -> Iterator[Cell]:
    """Yield a line for each rule that is broken: how often, its id and its name."""
    fixable = {each.rule for each in findings if each.fix}
    counts = Counter((each.rule, each.slug) for each in findings)
    width = len(str(max(counts.values(), default=0)))
    for (rule, slug), count in counts.most_common():
        yield (Span(f"{count:{width}}  {rule}  [{'*' if rule in fixable else ' '}]  {slug}"),)


def total_line(findings: Sequence[Finding], hidden: int) -> str:
    """Return the line below the findings. hidden: how many of them, all notes, are not shown."""
    counts = Counter(each.severity for each in findings)
    shown = _SEVERITIES[:-1] if hidden else _SEVERITIES
    parts = [", ".join(figures.counted(counts[level], level) for level in shown)]
    if hidden:
        parts.append(f"{figures.counted(hidden, 'note')} not shown: --notes")
    if fixable := sum(each.fix is not None for each in findings):
        parts.append(f"--fix fixes {fixable} of them")
    return "; ".join(parts)


def rule_lines(rule: LintRule) -> Iterator[str]:
    """Yield the lines that explain a rule."""
    yield f"{rule.id} {rule.slug} ({rule.severity})"
    yield f"  finds: {rule.summary}"
    yield f"  why:   {rule.why}"
    yield f"  --fix: {rule.fixes}"
    if gain := GAINS.get(rule.id):
        yield f"  measured: {gain}"
    if example := EXAMPLES.get(rule.id):
        for title, lines in (("bad", example.bad), ("good", example.good)):
            yield f"  {title}:"
            yield from (f"    {line}" for line in lines)
    everywhere = f"ignore = ['{rule.id}'] in [tool.lamina.lint]"
    yield f"  off:   # lamina: ignore[{rule.id}] above the line, or {everywhere}"


def rule_document(rule: LintRule) -> dict[str, str]:
    """Return a rule for JSON."""
    return {
        "id": rule.id,
        "name": rule.slug,
        "severity": rule.severity,
        "summary": rule.summary,
        "why": rule.why,
        "fix": rule.fixes,
        **({"measured": gain} if (gain := GAINS.get(rule.id)) else {}),
    }


def _fix(rule: str) -> str:
    return f"invoke lint --fix --select {rule}"


def _line(finding: Finding) -> Cell:
    fixable = " [*]" if finding.fix else ""
    return (
        Span(f"{finding.where}:{finding.column}: "),
        Span(f"{finding.rule} {finding.severity}", style_of(finding.severity)),
        Span(f": {finding.message}{fixable}"),
    )


def _cause(finding: Finding) -> object:
    """Return what findings of one cause have in common; None for other errors, which are all shown."""
    if hidden := _HIDDEN.search(finding.message):
        return finding.rule, finding.severity, hidden["rule"]
    if finding.severity == "error":
        return None
    hint = pattern(finding.hint or "", finding.image).replace(finding.file, "")
    return finding.rule, pattern(finding.message, finding.image), finding.unless, bool(finding.fix), hint


def _text(finding: Finding) -> str:
    return finding.message.replace(finding.image, "")


def _places(findings: Sequence[Finding]) -> str:
    """Return the first places, and how many more there are."""
    places = [*dict.fromkeys(each.where for each in findings)]
    named = ", ".join(places[:_NAMED])
    more = len(places) - _NAMED
    return f"{named} and {figures.counted(more, 'more place')}" if more > 0 else named
