"""The table of a session: how often each fault was tried, survived, and what was violated. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_BEGIN, _END = "<!-- faults:table -->", "<!-- faults:end -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A case that was tried. struck: whether its fault met the command at all."""

    fault: str
    struck: bool
    violations: tuple[str, ...]


def render(results: Iterable[Result], described: Mapping[str, str]) -> str:
    """A Markdown table. described: fault -> what it is, in the order of the rows."""
    found = tuple(results)
    rows = [
        _row(f"`{name}`", told, [each for each in found if each.fault == name])
        for name, told in described.items()
        if any(each.fault == name for each in found)
    ]
    head = ("| fault | what happens | tried | survived | violations |", "|---|---|---|---|---|")
    return "\n".join((*head, *rows, _row("all", "", found))) + "\n"


def _row(name: str, told: str, results: Iterable[Result]) -> str:
    """A row. A case whose fault met nothing was not tried, unless something was wrong nevertheless."""
    tried = [each for each in results if each.struck or each.violations]
    bad = sum(1 for each in tried if each.violations)
    return f"| {name} | {told} | {len(tried)} | {len(tried) - bad} | {bad} |"


def fill(page: str, table: str) -> str:
    """A page with the table between its marks. Raises ValueError for a page without them."""
    head, begin, rest = page.partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the page has no {_BEGIN} and {_END}")
    return f"{head}{begin}\n{table}{end}{tail}"
