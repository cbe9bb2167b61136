"""All rules, and a project's findings: sorted, without duplicates or rules that are switched off."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from lamina.errors import ConfigError, Problem, meant
from lamina.lint import bases, bytecode, caches, contexts, copies, handlers, installs, secrets, tools
from lamina.lint.findings import Finding, Hit, Severity
from lamina.lint.rule import LintRule
from lamina.lint.survey import LintInput

_THEMES = (installs, caches, bytecode, copies, bases, contexts, secrets, handlers, tools)
RULES: tuple[LintRule, ...] = tuple(
    sorted((rule for theme in _THEMES for rule in theme.RULES), key=attrgetter("id"))
)
_COMMENT = re.compile(r"\s*#\s*lamina:\s*ignore=([\w, -]+)")


def lint(survey: LintInput, images: Collection[str] | None = None) -> tuple[Finding, ...]:
    """Return the findings about the named images, or about all of them.

    Raises:
        ConfigError: An unknown rule is switched off.
    """
    off = survey.project.lint_ignores
    ConfigError.check([*_unknown(off.value, off.source), *_unknown_in_comments(survey.texts)])
    found: dict[tuple[Any, ...], Finding] = {}
    for rule in RULES:
        if {rule.id, rule.slug}.isdisjoint(off.value):
            for hit in rule.find(survey):
                selected = images is None or hit.image in images
                if selected and not _is_off(rule, hit, survey.texts.get(hit.file, "")):
                    key = (rule.id, hit.file, hit.line, hit.message)
                    found.setdefault(key, _finding(rule, hit, survey))
    return tuple(sorted(found.values(), key=lambda each: (each.file, each.line, each.rule, each.image)))


def _finding(rule: LintRule, hit: Hit, survey: LintInput) -> Finding:
    seconds = survey.seconds_of(hit.image, _instruction(hit, survey)) if hit.step else None
    took = f"; the step took {seconds:.1f} s in its last run" if seconds else ""
    return Finding(
        rule=rule.id,
        slug=rule.slug,
        severity=_severity(rule, hit),
        image=hit.image,
        file=hit.file,
        line=hit.line,
        message=hit.message,
        why=f"{rule.why}{took}",
        fix=hit.fix,
        hint=None if hit.fix else hit.hint,
        certainty=hit.certainty,
        unless=hit.unless,
    )


def _severity(rule: LintRule, hit: Hit) -> Severity:
    """Return the rule's severity, lowered if the hit is not certain."""
    if rule.severity == "note" or hit.certainty == "certain":
        return rule.severity
    return "warning" if hit.certainty == "likely" else "note"


def _instruction(hit: Hit, survey: LintInput) -> str:
    """Return the instruction that contains the hit's line, as one line like in BuildKit's log."""
    for stage in survey.images[hit.image].node.recipe.dockerfile.stages:
        for each in stage.instructions:
            if each.line <= hit.line <= each.end:
                return " ".join((each.name, *each.flags, *each.words))
    return ""


def _is_off(rule: LintRule, hit: Hit, text: str) -> bool:
    """Whether a comment at or above the line, or above its instruction, switches the rule off."""
    lines = text.split("\n")
    for number in range(min(hit.line, len(lines)), 0, -1):
        line = lines[number - 1].strip()
        if found := _COMMENT.match(line):
            if not {rule.id, rule.slug}.isdisjoint(_listed(found[1])):
                return True
        elif number < hit.line and not line.startswith("#") and not line.endswith(("\\", "`")):
            return False
    return False


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _unknown_in_comments(texts: Mapping[str, str]) -> Iterator[Problem]:
    for path, text in texts.items():
        for number, line in enumerate(text.split("\n"), start=1):
            if found := _COMMENT.match(line):
                yield from _unknown(_listed(found[1]), f"{path}:{number}")


def _unknown(names: Sequence[str], where: str) -> Iterator[Problem]:
    known = [name for rule in RULES for name in (rule.id, rule.slug)]
    for name in names:
        if name not in known:
            yield Problem(
                what=f"unknown rule {name!r}{meant(name, known)}",
                where=where,
                allowed=f"{RULES[0].id} to {RULES[-1].id}, or their names: see docs/lint.md",
            )
