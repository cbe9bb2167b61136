"""The rule about a copied ``uv.lock``: mounted, only the part of it that the steps install counts."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence

from lamina.declare.dockerfile import Instruction
from lamina.declare.lockfile import UV_LOCK
from lamina.declare.uv_commands import LockUse, UnprovedError, lock_uses
from lamina.lint.findings import Edit, Fix, Hit
from lamina.lint.rule import LintRule
from lamina.lint.steps import CopiedPath, RunStep, hit
from lamina.lint.survey import LintInput

_MOUNTABLE = frozenset({UV_LOCK, "pyproject.toml"})


def _copied_locks(survey: LintInput) -> Iterator[Hit]:
    for found in survey.steps.values():
        told: set[int] = set()
        for step in found:
            uses = _uses(step)
            lock = _copied_lock(step)
            if not uses or lock is None or lock.copy is None or lock.copy.line in told:
                continue
            if all(use.frozen for use in uses):
                told.add(lock.copy.line)
                yield hit(
                    step,
                    message=f"{UV_LOCK} is copied in line {lock.copy.line}: every edit of it installs "
                    "everything again, also one for other images",
                    fix=_mounted(step, found),
                    hint=f"RUN --mount=type=bind,source={lock.source},target={UV_LOCK} … instead of COPY",
                )


def _uses(step: RunStep) -> list[LockUse] | None:
    """Return what a step takes from the lock in its folder; None if that is not certain."""
    environment: Mapping[str, str | None] = {**step.environment, **dict(step.stage.args)}
    try:
        return list(lock_uses(step.script.commands, environment))
    except UnprovedError:
        return None


def _own_places(step: RunStep) -> Iterator[CopiedPath]:
    """Yield what COPY instructions of the step's own stage provide."""
    own = {id(each) for each in step.stage.stage.instructions}
    yield from (each for each in step.places if each.copy is not None and id(each.copy) in own)


def _copied_lock(step: RunStep) -> CopiedPath | None:
    path = posixpath.join(step.workdir, UV_LOCK)
    return next((each for each in _own_places(step) if each.path == path), None)


def _mounted(step: RunStep, steps: Sequence[RunStep]) -> Fix | None:
    """Return the edits that mount the lock and project files instead of copying them.

    None unless every step of the stage is known, and nothing else sees the files.
    """
    places = [each for each in _own_places(step) if posixpath.basename(each.path) in _MOUNTABLE]
    copies = {each.copy.line: each.copy for each in places if each.copy is not None}
    first = min(copies)
    later = [each for each in steps if each.stage is step.stage and each.instruction.line > first]
    uses = {each.instruction.line: _uses(each) for each in later}
    if step.in_image or _is_base(step) or _is_copied_whole(step) or None in uses.values():
        return None
    if not all(_only_mountable(each, places) for each in copies.values()):
        return None
    readers = [each for each in later if uses[each.instruction.line]]
    if any(not each.script.editable or each.workdir != step.workdir for each in readers):
        return None
    file = step.image.node.recipe.dockerfile.path
    removed = (Edit(file=file, start=each.line, end=each.end + 1, lines=()) for each in copies.values())
    return (*removed, *(_with_mounts(each, places) for each in readers))


def _is_base(step: RunStep) -> bool:
    names = {step.stage.stage.name, str(step.stage.stage.index)}
    return any(each.base in names for each in step.image.node.recipe.stages)


def _is_copied_whole(step: RunStep) -> bool:
    """Whether another stage copies the step's folder, or one above it."""
    names = {step.stage.stage.name, str(step.stage.stage.index)}
    instructions = (each for one in step.image.node.recipe.stages for each in one.stage.instructions)
    sources = (word for each in instructions if each.flag("from") in names for word in each.words[:-1])
    return any(f"{step.workdir}/".startswith(f"/{word.strip('/')}/".replace("//", "/")) for word in sources)


def _only_mountable(copy: Instruction, places: Sequence[CopiedPath]) -> bool:
    """Whether an instruction copies files of the lock and projects, and nothing else."""
    return sum(each.copy is copy for each in places) == len(copy.words) - 1


def _with_mounts(step: RunStep, places: Sequence[CopiedPath]) -> Edit:
    text, at = step.script.text, len("RUN")
    at += len(text) - len(text.lstrip())
    directives = step.image.node.recipe.dockerfile.directives
    escape = next((each[-1] for each in directives if each.startswith("escape=")), "\\")
    base = step.workdir.rstrip("/") + "/"
    mounts = (
        f" --mount=type=bind,source={each.source},target={each.path.removeprefix(base)} {escape}\n   "
        for each in sorted(places, key=lambda each: (each.path != f"{base}{UV_LOCK}", each.path))
    )
    return step.edit([(at, at, "".join(mounts))])


RULES = (
    LintRule(
        id="LAM113",
        slug="lock-copied",
        severity="warning",
        summary="COPY of `uv.lock` before a step that installs some members or the project from it",
        why="mounted, only the part of the lock that the step installs is its input",
        fixes="mounts the lock and the project files in that step, if nothing else in the stage reads them",
        find=_copied_locks,
    ),
)
