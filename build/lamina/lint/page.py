"""The page of all rules, made from them: ``python -m lamina.lint.page > docs/rules.md``."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from lamina.lint.examples import EXAMPLES, Example
from lamina.lint.gains import GAINS
from lamina.lint.registry import RULES
from lamina.lint.rule import LintRule

_HEAD = """# Rules

What `lamina lint` finds, rule by rule; `lamina rule LAM106` prints the same. How to select rules, switch them
off and fix what they find is in [lint.md](lint.md).

*Measured* compares the bad and the good form of a rule, built again after the edit that it is about, on two
busy cores: look at the ratio. Rules without it are about builds and functions that fail or are not what they
seem, say in each finding how many bytes it is about, or could not be measured: LAM306 pulls from a public
registry, and LAM402 is about builders other than BuildKit.
"""


def rules_page() -> str:
    """Return the page as Markdown, a section for each rule."""
    return _HEAD + "".join(part for rule in RULES for part in _section(rule))


def _section(rule: LintRule) -> Iterator[str]:
    yield f"\n## {rule.id} {rule.slug}\n\n"
    yield f"Finds {rule.summary} ({rule.severity}). Why: {rule.why}. `--fix`: {rule.fixes}.\n"
    if gain := GAINS.get(rule.id):
        yield f"\nMeasured: {gain}.\n"
    if example := EXAMPLES.get(rule.id):
        yield from _example(example)
    else:
        section = f"preflight.md#{rule.id.lower()}-{rule.slug}"
        yield f"\nExamples, and what Lambda says: [preflight.md]({section}).\n"


def _example(example: Example) -> Iterator[str]:
    kind = "dockerfile" if example.in_dockerfile else ""
    for title, lines in (("Bad", example.bad), ("Good", example.good)):
        yield f"\n{title}:\n\n```{kind}\n" + "".join(f"{line}\n" for line in lines) + "```\n"


if __name__ == "__main__":
    sys.stdout.write(rules_page())
