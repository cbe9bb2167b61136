"""Compare the worktree with a commit: which images change. Asks no registry and no engine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lamina.affected.image import AffectedImage
from lamina.decide.plan import Plan
from lamina.errors import ConfigError, LaminaError, Problem
from lamina.execute.revision import check_out, merge_base
from lamina.flow.session import Session
from lamina.flow.snapshot import take_snapshot
from lamina.identify.change_lines import describe_changes
from lamina.identify.fingerprint import BuildInputs
from lamina.report.predict import build_seconds

AUTOMATIC = "auto"
"""The revision that CI compares with, or where the branch began."""
_GITHUB_TARGET, _GITLAB_BASE = "GITHUB_BASE_REF", "CI_MERGE_REQUEST_DIFF_BASE_SHA"
_MAIN = ("origin/HEAD", "origin/main", "origin/master", "main", "master")
_FLAG = "--since"


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected:
    """The images that differ from those of a commit, bases first.

    Attributes:
        revision: the commit, as given or found; empty for a plan.
        images: how many there are in all.
        before: image -> its build inputs in the commit.
        notes: why images count as affected although they could not be compared.
    """

    revision: str
    changed: tuple[AffectedImage, ...]
    images: int
    notes: tuple[Problem, ...] = ()
    before: Mapping[str, BuildInputs] = field(default_factory=dict)


def affected_since(session: Session, revision: str) -> Affected:
    """Return the selected images whose content differs between a commit and the worktree.

    Raises:
        ConfigError: git does not know the revision, or the worktree has faults.
    """
    session = session.offline()
    commit = _begin(session) if revision == AUTOMATIC else revision
    snapshot = take_snapshot(session)
    before: Mapping[str, BuildInputs] = {}
    notes: tuple[Problem, ...] = ()
    try:
        before = _inputs_at(session, commit)
    except _UnreadableError as error:
        notes = error.problems
    changed, seconds = [], build_seconds(session.project.state)
    for name in snapshot.images:
        image = snapshot.images[name]
        if name not in snapshot.selected or (name in before and before[name] == image.inputs):
            continue
        if name in before:
            changes = image.changes_since(before[name])
            reasons = [each.line for each in describe_changes(changes)]
            changed.append(AffectedImage.of(image, "changed", reasons, seconds))
        else:
            reason = f"{commit} does not have it"
            changed.append(AffectedImage.of(image, "added", (reason,), seconds))
    if not session.flags.images:
        changed += _removed(before, session, commit)
    return Affected(
        revision=commit, changed=tuple(changed), images=len(snapshot.selected), notes=notes, before=before
    )


def planned(plan: Plan, seconds: Mapping[str, float]) -> Affected:
    """Return the images that a plan would build or tag. seconds: image -> how long its builds took."""
    changed = tuple(
        AffectedImage.of(each.image, each.action, each.reasons, seconds)
        for each in plan.decisions.values()
        if each.action != "skip"
    )
    cause = (replace(plan.cause, what=f"not looked: {plan.cause.what}"),) if plan.cause else ()
    return Affected(revision="", changed=changed, images=len(plan.decisions), notes=(*plan.notes, *cause))


class _UnreadableError(LaminaError):
    """The commit cannot be read as a project: nothing is known of its images."""


def _inputs_at(session: Session, commit: str) -> Mapping[str, BuildInputs]:
    """Return image -> its build inputs in a commit, read from a temporary checkout."""
    with tempfile.TemporaryDirectory(prefix="lamina-since-") as folder:
        root = check_out(session.runner, session.project.root, commit, Path(folder))
        if root is None:
            raise ConfigError.of(f"{commit!r} is not a commit", where=_FLAG, allowed="a git revision")
        checkout = session.at(root)
        try:
            images = take_snapshot(checkout, tuple(checkout.graph.nodes)).images
            return {name: each.inputs for name, each in images.items()}
        except LaminaError as error:
            hint = f"{error.problems[0]}"
            raise _UnreadableError.of(
                f"{commit} cannot be compared, so every image counts as affected", hint=hint
            ) from None
        finally:
            checkout.close()


def _removed(before: Mapping[str, BuildInputs], session: Session, commit: str) -> Iterator[AffectedImage]:
    for name in before.keys() - session.graph.nodes.keys():
        yield AffectedImage(name=name, how="removed", reasons=(f"only {commit} has it",))


def _begin(session: Session) -> str:
    """Return the commit that a pull request or a branch starts from.

    Raises:
        ConfigError: there is none that git knows, as in a shallow clone.
    """
    if base := os.environ.get(_GITLAB_BASE):
        return base
    target = os.environ.get(_GITHUB_TARGET)
    branches = (
        (f"origin/{target}",) if target else ("origin/HEAD", "origin/main", "origin/master", "main", "master")
    )
    for branch in branches:
        if commit := merge_base(session.runner, session.project.root, branch):
            return commit[:12]
    raise ConfigError.of(
        f"no commit is known to start from: {', '.join(branches)}",
        where=_FLAG,
        hint="fetch the history (actions/checkout: fetch-depth: 0), or name a revision: --since REV",
    )
