"""All rules, and a project's findings: sorted, without duplicates or rules that are switched off."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter

from lamina.declare.switches import is_off, switched_off
from lamina.errors import ConfigError, Problem, meant
from lamina.lint import (
    bases,
    bytecode,
    caches,
    contexts,
    copies,
    environments,
    exports,
    handlers,
    installs,
    on_lambda,
    secrets,
    shared_base,
    snapstart,
    tool_options,
    tools,
    uv_locks,
    weights,
)
from lamina.lint.findings import Finding, Hit, Severity
from lamina.lint.rule import LintRule
from lamina.lint.survey import LintInput

_THEMES = (
    *(installs, shared_base, caches, bytecode, copies, environments, bases, contexts, secrets, handlers),
    *(tools, tool_options, weights, uv_locks, exports, snapstart, on_lambda),
)
RULES: tuple[LintRule, ...] = tuple(
    sorted((rule for theme in _THEMES for rule in theme.RULES), key=attrgetter("id"))
)


@dataclass(frozen=True, slots=True)
class RuleSelection:
    """The rules of one command: by id, beginning of an id (``LAM1``), or name; ``--ignore`` wins.

    Args:
        select: only these; empty for all.
        ignore: not these.
        among: all that there are.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    among: tuple[LintRule, ...] = RULES

    @classmethod
    def of(cls, select: Iterable[str], ignore: Iterable[str]) -> RuleSelection:
        """Return the selection of flags, each of which may name several rules, separated by commas."""
        return cls(_words(select), _words(ignore))

    def __contains__(self, rule: LintRule) -> bool:
        selected = not self.select or _is_named(rule, self.select)
        return selected and not _is_named(rule, self.ignore)

    def asks_for(self, rule: LintRule) -> bool:
        """Whether a rule is selected by its whole id or its name."""
        return not {rule.id, rule.slug}.isdisjoint(self.select)

    def problems(self) -> Iterator[Problem]:
        """Yield a problem for each word that names no rule."""
        for flag, words in (("--select", self.select), ("--ignore", self.ignore)):
            yield from _unknown((word for word in words if not _names_any(word)), flag)


ALL_RULES = RuleSelection()


def find_rule(name: str) -> LintRule:
    """Return the rule with an id or name.

    Raises:
        ConfigError: There is none.
    """
    ConfigError.check(_unknown([name], None))
    return next(rule for rule in RULES if name in (rule.id, rule.slug))


def _words(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(word.strip() for value in values for word in value.split(",") if word.strip())


def _is_named(rule: LintRule, words: Iterable[str]) -> bool:
    return any(word == rule.slug or (word and rule.id.startswith(word)) for word in words)


def _names_any(word: str) -> bool:
    return any(_is_named(rule, (word,)) for rule in RULES)


def lint(
    survey: LintInput, images: Collection[str] | None = None, rules: RuleSelection = ALL_RULES
) -> tuple[Finding, ...]:
    """Return the findings about the named images, or about all of them.

    Raises:
        ConfigError: An unknown rule is selected or switched off.
    """
    off = survey.project.lint_ignores
    unknown = (*rules.problems(), *_unknown(off.value, off.source), *_unknown_in_comments(survey.texts))
    ConfigError.check(unknown)
    found: dict[tuple[str, str, int, str], Finding] = {}
    for rule in rules.among:
        if rule in rules and {rule.id, rule.slug}.isdisjoint(off.value):
            for hit in rule.find(survey):
                selected = images is None or hit.image in images
                if selected and not is_off((rule.id, rule.slug), hit.line, survey.texts.get(hit.file, "")):
                    key = (rule.id, hit.file, hit.line, hit.message)
                    found.setdefault(key, _finding(rule, hit, survey, rules))
    return tuple(sorted(found.values(), key=lambda each: (each.file, each.line, each.rule, each.image)))


def _finding(rule: LintRule, hit: Hit, survey: LintInput, rules: RuleSelection) -> Finding:
    if hit.fix and rule.fixed_if_selected and not rules.asks_for(rule):
        hit = replace(hit, fix=None, hint=f"invoke lint --fix --select {rule.id}, or: {hit.hint}")
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
        column=_column(hit, survey),
    )


def _column(hit: Hit, survey: LintInput) -> int:
    lines = survey.texts.get(hit.file, "").split("\n")
    line = lines[hit.line - 1] if 0 < hit.line <= len(lines) else ""
    return len(line) - len(line.lstrip()) + 1


def _severity(rule: LintRule, hit: Hit) -> Severity:
    """Return the rule's severity, lowered if the hit is not certain or not worth a fix."""
    if not hit.worth:
        return "note"
    if rule.severity == "note" or hit.certainty == "certain":
        return rule.severity
    return "warning" if hit.certainty == "likely" else "note"


def _instruction(hit: Hit, survey: LintInput) -> str:
    """Return the instruction whose seconds a hit costs, as one line like in BuildKit's log."""
    line = hit.delays or hit.line
    for stage in survey.images[hit.image].node.recipe.dockerfile.stages:
        for each in stage.instructions:
            if each.line <= line <= each.end:
                return " ".join((each.name, *each.flags, *each.words))
    return ""


def _unknown_in_comments(texts: Mapping[str, str]) -> Iterator[Problem]:
    for path, text in texts.items():
        for number, line in enumerate(text.split("\n"), start=1):
            yield from _unknown(switched_off(line), f"{path}:{number}")


def _unknown(names: Iterable[str], where: str | None) -> Iterator[Problem]:
    known = [name for rule in RULES for name in (rule.id, rule.slug)]
    for name in names:
        if name not in known:
            yield Problem(
                what=f"unknown rule {name!r}{meant(name, known)}",
                where=where,
                allowed=f"{RULES[0].id} to {RULES[-1].id}, or their names: see docs/lint.md",
            )
