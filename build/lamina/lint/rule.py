"""A lint rule: its name, its texts and the function that looks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lamina.lint.findings import Hit, Severity
from lamina.lint.survey import LintInput


@dataclass(frozen=True, slots=True, kw_only=True)
class LintRule:
    """One thing that is looked for. id and slug are for ever; what and why are one sentence each."""

    id: str
    slug: str
    severity: Severity
    what: str
    why: str
    fixes: str
    """What ``--fix`` does, ``by hand`` where it does nothing."""
    find: Callable[[LintInput], Iterator[Hit]]
