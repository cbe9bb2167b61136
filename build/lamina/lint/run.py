"""Lint: the findings, and the fixes, which are proved on a draft before any file is written."""

from __future__ import annotations

import difflib
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from lamina.decide.preflight import faults
from lamina.errors import LaminaError, Problem
from lamina.files import write_atomic
from lamina.flow.session import Session
from lamina.lint.draft import RewriteDraft
from lamina.lint.edits import Rewrite, choose, diff
from lamina.lint.findings import Finding, Fix
from lamina.lint.read import Surveyor
from lamina.lint.registry import ALL_RULES, RuleSelection, lint
from lamina.lint.survey import LintInput
from lamina.report.history import read_run, read_steps, run_ids

_ROUNDS = 1000
"""No fix needs so many: each of them removes a finding, and no draft comes twice."""
_NUMBER = re.compile(r"\d+")
_KEPT_RUNS = 20
_ALIKE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Linted:
    """The findings, or those left after fixes; and the files that fixes change.

    problems: why some images cannot be read; there are no findings about those. rebuilt: images that fixes
    rebuild. added: new ones.
    """

    findings: tuple[Finding, ...]
    rewrites: tuple[Rewrite, ...] = ()
    rebuilt: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def failing(self) -> bool:
        """Whether any finding is more than a note."""
        return any(each.counts for each in self.findings)


def lint_images(session: Session, rules: RuleSelection = ALL_RULES) -> Linted:
    """Return the findings about the selected images."""
    survey, problems = _surveyor(session).survey_readable(session.project)
    session.stat_cache.save()
    session.facts.save()
    chosen = (session.flags.images or None) if problems else session.graph.select(session.flags.images)
    return Linted(findings=lint(survey, chosen, rules), problems=problems)


def fix_images(session: Session, rules: RuleSelection = ALL_RULES, *, dry_run: bool) -> Linted:
    """Show the fixes of the selected images as a diff, then write them; with ``dry_run`` only show.

    Fixes are applied to a draft, round by round until none is left. A fix after which a Dockerfile does not
    parse, a COPY source is missing or its finding is still there is undone, and its finding is kept with the
    reason.
    """
    with tempfile.TemporaryDirectory(prefix="lamina-lint-") as folder:
        draft = RewriteDraft(session.project, Path(folder))
        fixed = _fixed(session, draft, rules)
    for each in fixed.rewrites:
        session.screen.diff(diff(each.path, each.before, each.after))
    if fixed.added:
        session.screen.say(f"new: {', '.join(fixed.added)}")
    if fixed.rebuilt:
        session.screen.say(f"to build again: {', '.join(fixed.rebuilt)}")
    if dry_run:
        session.screen.say("nothing is written: --dry-run")
        return replace(lint_images(session, rules), rewrites=fixed.rewrites)
    for each in fixed.rewrites:
        file = session.project.root / each.path
        mode = file.stat().st_mode & 0o777 if each.before is not None else 0o644
        write_atomic(file, each.after, mode=mode)
        session.screen.say(f"{each.path} is written")
    return fixed


def _fixed(session: Session, draft: RewriteDraft, rules: RuleSelection) -> Linted:
    surveyor, refused = _surveyor(session), dict[Fix, str]()
    selected = session.graph.select(session.flags.images)
    before = survey = surveyor.survey(draft.project())
    found, seen = lint(survey, selected, rules), [draft.rewrites()]
    for _ in range(_ROUNDS):
        chosen = choose(found, refused)
        for batch in _batches(chosen):
            trial = draft.tried(edit for fix in batch for edit in fix)
            made = _checked(surveyor, trial, survey)
            after = lint(made, selected, rules) if isinstance(made, LintInput) else ()
            if isinstance(made, LintInput):
                made = _without_effect(batch, found, after, again=trial.rewrites() in seen) or made
            if isinstance(made, LintInput):
                draft, survey, found = trial, made, after
                seen.append(trial.rewrites())
                break
            if len(batch) == 1:
                refused[batch[0]] = made
        if not chosen:
            break
    left = tuple(
        replace(each, fix=None, hint=f"not fixed: {refused[each.fix]}") if each.fix in refused else each
        for each in found
    )
    old = {name: image.fingerprint for name, image in before.images.items()}
    return Linted(
        findings=left,
        rewrites=draft.rewrites(),
        rebuilt=tuple(
            name for name, image in survey.images.items() if name in old and image.fingerprint != old[name]
        ),
        added=tuple(name for name in survey.images if name not in old),
    )


def _without_effect(
    batch: Collection[Fix], before: Iterable[Finding], after: Iterable[Finding], *, again: bool
) -> str | None:
    """Return why fixes lead nowhere: a finding of theirs is still there, or the draft was there before."""
    old, new = Counter(map(_key, before)), Counter(map(_key, after))
    if any(new[key] >= old[key] for key in {_key(each) for each in before if each.fix in batch}):
        return "the finding is still there after it"
    return "it undoes another fix" if again else None


def _key(finding: Finding) -> tuple[str, ...]:
    """Return how a finding is recognised in a draft in which lines and counts have changed."""
    return (finding.rule, finding.image, finding.file, _NUMBER.sub("#", finding.message))


def _batches(fixes: Collection[Fix]) -> Iterable[tuple[Fix, ...]]:
    """Yield all fixes at once and, should that fail, the first one alone."""
    yield from ([tuple(fixes)] if len(fixes) > 1 else [])
    yield from ((fix,) for fix in [*fixes][:1])


def _checked(surveyor: Surveyor, trial: RewriteDraft, before: LintInput) -> LintInput | str:
    """Return the survey of a draft, or why the draft is worse than the one before."""
    try:
        survey = surveyor.survey(trial.project())
    except LaminaError as error:
        return error.problems[0].what
    known = {each.what for each in faults(before.images)}
    if new := next((each for each in faults(survey.images) if each.what not in known), None):
        return new.what
    return survey


def _surveyor(session: Session) -> Surveyor:
    return Surveyor(session.stat_cache.files, _seconds_of(session), session.facts)


def _seconds_of(session: Session) -> Callable[[str, str], float | None]:
    """Return a function that looks up how long an instruction took in the last kept run of this checkout."""
    took: defaultdict[str, dict[str, float]] = defaultdict(dict)
    state = session.project.state
    for run in reversed(run_ids(state)[:_KEPT_RUNS]):
        for step in read_steps(state, read_run(state, run)):
            if step.is_instruction and step.state in {"ran", "shared"} and step.seconds:
                took[step.image][_plain(step.instruction)] = step.seconds

    def seconds(image: str, instruction: str) -> float | None:
        known, text = took.get(image, {}), _plain(instruction)
        alike = difflib.get_close_matches(text, known, n=1, cutoff=_ALIKE) if text else []
        return known[alike[0]] if alike else None

    return seconds


def _plain(instruction: str) -> str:
    return re.sub(r"\s+", " ", instruction)
