"""The three phases of a caching plan as a checklist, with the next command of each open point. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lamina.adopt.ignore_file import IgnoreFile
from lamina.decide.plan import Plan
from lamina.declare.graph import Node
from lamina.declare.settings import SettingValue, Value
from lamina.errors import Problem
from lamina.lint.findings import Finding

State = Literal["done", "not yet", "not applicable"]
TITLES: Mapping[int, str] = {1: "quick wins", 2: "stable development", 3: "optimisation"}
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One point of the checklist.

    Attributes:
        detail: the evidence.
        next: the command to run.
    """

    phase: int
    name: str
    state: State
    detail: str
    next: str | None = None


def findings_check(problems: Sequence[Problem], findings: Sequence[Finding]) -> Check:
    """Phase 1: the Dockerfiles have no faults. problems: reasons why they cannot be built."""
    if problems:
        first = str(problems[0]).partition("\n")[0]
        return _not_yet(1, "lint", f"{_counted(problems, 'fault')}: {first}", "invoke plan")
    if found := [each for each in findings if each.counts]:
        detail = f"{_counted(found, 'finding')}: {found[0].where}: {found[0].message}"
        return _not_yet(
            1, "lint", detail, "invoke lint --fix" if any(each.fix for each in found) else "invoke lint"
        )
    return _done(1, "lint", f"no faults, {_counted(findings, 'note')}")


def ignore_check(files: Sequence[IgnoreFile]) -> Check:
    """Phase 1: every ignore file is up to date."""
    stale = [problem for each in files for problem in each.problems]
    if stale:
        return _not_yet(
            1, "ignore", _first(str(each).partition("\n")[0] for each in stale), "invoke ignore --write"
        )
    return _done(1, "ignore", f"{len(files)} ignore files, none out of date")


def buildkit_check(builder: str | None, problem: Problem | None) -> Check:
    """Phase 1: BuildKit builds.

    Args:
        builder: its description.
        problem: why there is none.
    """
    if problem is not None:
        return _not_yet(1, "BuildKit", problem.what, problem.hint)
    return _done(1, "BuildKit", builder or "")


def login_check(registry: Value[SettingValue], *, local: bool, unknown: str | None) -> Check:
    """Phase 2: the registry accepts the credentials. unknown: why it was not checked."""
    if local:
        return _not_applicable(2, "login", f"images live in the engine ({registry.source})")
    if unknown:
        return _not_yet(2, "login", unknown, "invoke login")
    return _done(2, "login", f"{registry.value} answers")


def pull_check(unlocked: Sequence[str], missing: Sequence[str] | None) -> Check:
    """Phase 2: external base images are pinned and in the engine. missing: None without an engine."""
    if unlocked:
        return _not_yet(2, "pull", f"not pinned yet: {_first(unlocked)}", "invoke lock")
    if missing is None:
        return _not_yet(2, "pull", "no engine answers", "invoke engine.up")
    if missing:
        return _not_yet(2, "pull", f"not in the engine: {_first(missing)}", "invoke pull")
    return _done(2, "pull", "external base images are pinned and in the engine")


def build_check(plan: Plan | None, kind: str) -> Check:
    """Phase 2: the images of a kind are up to date. plan: None if it cannot be made."""
    name = f"build-{kind}"
    if plan is None:
        return _not_yet(2, name, "the plan has errors", "invoke plan")
    decisions = [each for each in plan.decisions.values() if each.image.node.kind == kind]
    if not decisions:
        return _not_applicable(2, name, "there are no images of that kind")
    if plan.unknown:
        return _not_yet(2, name, f"not checked: {plan.unknown}", f"invoke {name}")
    waiting = [each.image.name for each in decisions if each.action != "skip"]
    if waiting:
        return _not_yet(2, name, f"to be built: {_first(waiting)}", f"invoke {name}")
    return _done(2, name, f"{len(decisions)} up to date in {plan.store}")


def tag_check(alias: str | None, missing: Sequence[str] | None) -> Check:
    """Phase 2: images have the revision's tag.

    Args:
        alias: None without a clean tree.
        missing: None if unknown.
    """
    if alias is None:
        return _not_applicable(2, "tag", "git-<sha> tags need a clean tree; content tags do not")
    if missing is None:
        return _not_yet(2, "tag", f"unknown whether images are tagged {alias}", "invoke build-all")
    if missing:
        return _not_yet(2, "tag", f"not tagged {alias}: {_first(missing)}", "invoke tag --apply")
    return _done(2, "tag", f"all images are tagged {alias}")


def static_check(bases: Sequence[str], missing: Sequence[str] | None) -> Check:
    """Phase 2: static mode finds the tag ``stable`` of every base."""
    if not bases:
        return _not_applicable(2, "static", "there are no base images")
    if missing is None or missing:
        return _not_yet(
            2, "static", f"no tag stable: {_first(bases if missing is None else missing)}", "invoke stable"
        )
    return _done(2, "static", f"stable of {_first(bases)} exists: --static builds FROM it")


def linked_check(nodes: Iterable[Node]) -> Check:
    """Phase 3: no step runs on a base, so that a change of a base reruns nothing."""
    unlinked = [f"{node.name} ({node.recipe.unlinked})" for node in nodes if node.recipe.unlinked]
    if unlinked:
        return _not_yet(3, "linked stages", f"not linked: {_first(unlinked)}", "invoke lint --notes")
    return _done(3, "linked stages", "every image is linked")


def cache_check(cache: Value[SettingValue], *, local: bool) -> Check:
    """Phase 3: other machines reuse the cache of this one's builds."""
    if local:
        return _not_applicable(3, "remote cache", "images live in the engine, and so does the cache")
    if cache.value == "off":
        return _not_yet(3, "remote cache", f"off ({cache.source})", "invoke build-all --push --cache max")
    return _done(3, "remote cache", f"{cache.value} ({cache.source})")


def remote_check(builder: Value[SettingValue]) -> Check:
    """Phase 3: another machine builds."""
    if builder.value:
        return _done(3, "remote build", f"builder {builder.value} ({builder.source})")
    return _not_yet(
        3, "remote build", "optional: the engine builds itself", "invoke build-all --push --builder NAME"
    )


def _done(phase: int, name: str, detail: str) -> Check:
    return Check(phase=phase, name=name, state="done", detail=detail)


def _not_yet(phase: int, name: str, detail: str, command: str | None) -> Check:
    return Check(phase=phase, name=name, state="not yet", detail=detail, next=command)


def _not_applicable(phase: int, name: str, detail: str) -> Check:
    return Check(phase=phase, name=name, state="not applicable", detail=detail)


def _first(texts: Iterable[str]) -> str:
    """Join the first few, and count the rest."""
    every = list(texts)
    more = len(every) - _SHOWN
    return ", ".join(every[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _counted(things: Sequence[object], word: str) -> str:
    return f"{len(things)} {word}{'s' * (len(things) != 1)}"
