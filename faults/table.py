"""Format the table of a session: how often each fault was tried and survived, and its violations. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_BEGIN, _END = "<!-- faults:table -->", "<!-- faults:end -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of a case. struck: whether its fault took effect."""

    fault: str
    struck: bool
    violations: tuple[str, ...]


def render(results: Iterable[Result], described: Mapping[str, str]) -> str:
    """Return a Markdown table. described: fault -> its description, in the order of the rows."""
    found = tuple(results)
    rows = [
        _row(f"`{name}`", what, [each for each in found if each.fault == name])
        for name, what in described.items()
        if any(each.fault == name for each in found)
    ]
    head = ("| fault | what happens | tried | survived | violations |", "|---|---|---|---|---|")
    return "\n".join((*head, *rows, _row("all", "", found))) + "\n"


def _row(name: str, what: str, results: Iterable[Result]) -> str:
    """Return a row. A case whose fault took no effect does not count, unless it has violations."""
    tried = [each for each in results if each.struck or each.violations]
    bad = sum(1 for each in tried if each.violations)
    return f"| {name} | {what} | {len(tried)} | {len(tried) - bad} | {bad} |"


def fill(page: str, table: str) -> str:
    """Return a page with the table between its marks. Raises ValueError if the page has no marks."""
    head, begin, rest = page.partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the page has no {_BEGIN} and {_END}")
    return f"{head}{begin}\n{table}{end}{tail}"
