"""A lint rule: its name, its texts and the function that finds violations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lamina.lint.findings import Hit, Severity
from lamina.lint.survey import LintInput


@dataclass(frozen=True, slots=True, kw_only=True)
class LintRule:
    """A rule. id and slug never change; summary and why are one sentence each."""

    id: str
    slug: str
    severity: Severity
    summary: str
    why: str
    fixes: str
    """The effect of ``--fix``; ``by hand`` if it has none."""
    find: Callable[[LintInput], Iterator[Hit]]
    fixed_if_selected: bool = False
    """Whether ``--fix`` needs ``--select`` with the rule's id or name: it changes how images are made."""
