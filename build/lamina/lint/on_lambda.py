"""The rules of `lamina.preflight` as lint rules: what fails on Lambda, or in the build before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lamina.lint.findings import Hit
from lamina.lint.rule import LintRule
from lamina.lint.survey import LintInput
from lamina.preflight.check import RULES as PREFLIGHT
from lamina.preflight.fault import Rule


def _find(rule: Rule) -> Callable[[LintInput], Iterator[Hit]]:
    def find(survey: LintInput) -> Iterator[Hit]:
        for name, faults in survey.preflight.items():
            for each in faults:
                if each.rule == rule.id:
                    yield Hit(
                        image=name,
                        file=each.file,
                        line=each.line,
                        message=each.message,
                        hint=each.hint,
                        certainty=each.certainty,
                        unless=each.unless,
                    )

    return find


RULES = tuple(
    LintRule(
        id=each.id,
        slug=each.slug,
        severity="error",
        summary=each.summary,
        why=each.why,
        fixes="by hand",
        find=_find(each),
    )
    for each in PREFLIGHT
)
