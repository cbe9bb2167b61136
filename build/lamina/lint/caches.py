"""Rules about pip's own cache, which makes an install that must rerun a short one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from lamina.declare.script import Replacement
from lamina.lint.findings import Hit
from lamina.lint.rule import LintRule
from lamina.lint.steps import RunStep, hit
from lamina.lint.survey import LintInput
from lamina.lint.tools import tool_caches, unused_caches

_CLEAN = "remove the command that empties pip's cache, as a mount is not part of the image; then "


def _cached(step: RunStep) -> bool:
    mounts = step.instruction.flags_of("mount")
    return any("type=cache" in each and "pip" in each for each in mounts)


def _cache_dir_known(survey: LintInput, step: RunStep) -> bool:
    """Whether pip's cache is in root's home: Python is known, root runs the step, no variable moves it."""
    if survey.python(step.image, step.stage) is None:
        return False
    return step.root and step.script.editable and not {"HOME", "PIP_CACHE_DIR"} & step.environment.keys()


def _cleans(step: RunStep) -> bool:
    """Whether a step removes pip's cache, which fails for a mount or empties it for every build."""
    for command in step.script.commands:
        words = [word.text for word in command.words]
        if "rm" in words and any(".cache" in word for word in words):
            return True
        if words[-2:] == ["cache", "purge"]:
            return True
    return False


def _mount(step: RunStep) -> Replacement:
    """Return the replacement that adds a cache mount for pip."""
    text, at = step.script.text, len("RUN")
    at += len(text) - len(text.lstrip())
    directives = step.image.node.recipe.dockerfile.directives
    escape = next((each[-1] for each in directives if each.startswith("escape=")), "\\")
    flags = step.instruction.flags
    end = at if flags else step.script.start
    return (at, end, " --mount=type=cache,target=/root/.cache/pip" + ("" if flags else f" {escape}\n    "))


def _no_cache_dir(survey: LintInput) -> Iterator[Hit]:
    seen: set[tuple[str, int]] = set()
    for step, install in survey.installs:
        key = (step.image.name, step.instruction.line)
        words = install.flags("--no-cache-dir")
        if not words or key in seen:
            continue
        seen.add(key)
        mounted = _cached(step)
        edits = [
            each
            for other in step.installs
            for each in step.script.without_words(other.command, other.flags("--no-cache-dir"))
        ]
        known = _cache_dir_known(survey, step) and (mounted or "PIP_NO_CACHE_DIR" not in step.environment)
        known = known and not _cleans(step)
        yield hit(
            step,
            words[0].start,
            message="pip install --no-cache-dir does not use the step's cache mount"
            if mounted
            else "pip install --no-cache-dir downloads everything again whenever the step runs",
            fix=(step.edit([*edits, *([] if mounted else [_mount(step)])]),) if known else None,
            hint=f"{_CLEAN if _cleans(step) else ''}RUN --mount=type=cache,target=<that user's cache> "
            "pip install …, without --no-cache-dir",
        )


def _no_cache_mount(survey: LintInput) -> Iterator[Hit]:
    seen: set[tuple[str, int]] = set()
    for step, install in survey.installs:
        key = (step.image.name, step.instruction.line)
        if key in seen or install.flags("--no-cache-dir") or (_cached(step) and not _switched_off(step)):
            continue
        seen.add(key)
        known = _cache_dir_known(survey, step) and not _switched_off(step) and not _cleans(step)
        off = "PIP_NO_CACHE_DIR switches off the cache of" if _switched_off(step) else "no cache mount for"
        yield hit(
            step,
            install.install.start,
            message=f"{off} pip install",
            fix=(step.edit([_mount(step)]),) if known else None,
            hint=f"{_CLEAN if _cleans(step) else ''}RUN --mount=type=cache,target=<that user's cache> "
            "pip install …, PIP_NO_CACHE_DIR unset",
        )


def _switched_off(step: RunStep) -> bool:
    return step.environment.get("PIP_NO_CACHE_DIR", "0").lower() not in {"0", "false", "no", "off", ""}


RULES = (
    LintRule(
        id="LAM105",
        slug="no-cache-dir",
        severity="warning",
        summary="`pip install --no-cache-dir` or `uv … --no-cache`, with or without a cache mount",
        why="one changed requirement downloads all of them again; a cache mount adds nothing to the image",
        fixes="removes it and mounts a cache",
        find=lambda survey: chain(_no_cache_dir(survey), unused_caches(survey)),
    ),
    LintRule(
        id="LAM106",
        slug="no-cache-mount",
        severity="warning",
        summary="an install by pip, uv, Poetry, PDM or Pipenv without a cache mount",
        why="one changed requirement downloads all of them again, and the tool's cache stays in the layer",
        fixes="adds `--mount=type=cache,target=/root/.cache/…`; for uv also `--link-mode=copy`",
        find=lambda survey: chain(_no_cache_mount(survey), tool_caches(survey)),
    ),
)
