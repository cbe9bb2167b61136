"""Rules about the handler that Lambda starts and the code it imports."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.decide.unrunnable import unrunnable
from lamina.lint.contexts import of_problem
from lamina.lint.findings import Hit
from lamina.lint.rule import LintRule
from lamina.lint.survey import LintInput


def _unrunnable(survey: LintInput) -> Iterator[Hit]:
    for name, found in survey.runnable.items():
        image = survey.images[name]
        yield from (of_problem(image, each) for each in unrunnable({name: (image, found)}))


RULES = (
    LintRule(
        id="LAM601",
        slug="unrunnable",
        severity="error",
        summary="a CMD that names no handler, or a handler that imports or opens missing files",
        why="the function fails when Lambda starts it, after the deployment",
        fixes="by hand",
        find=_unrunnable,
    ),
)
