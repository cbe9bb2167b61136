"""Rules about contexts: missing, unread, wrong or useless ignore files, and files that are never copied."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.decide.preflight import faults
from lamina.decide.unfiltered import ContextFiles
from lamina.decide.weight import HEAVY, amount, megabytes
from lamina.errors import Problem, did_you_mean
from lamina.identify.image import DOCKERIGNORE, Image
from lamina.lint.findings import Hit
from lamina.lint.rule import LintRule
from lamina.lint.survey import LintInput

_SLOW = HEAVY
"""Bytes that are copied. They take 0.1 s to hash, and 4 s to send to a remote builder at 100 Mbit/s."""
_WIDE = 1_000_000
"""Bytes that no COPY takes; fewer are not reported."""


def of_problem(image: Image, problem: Problem) -> Hit:
    """Convert a problem found by a preflight check into a hit."""
    file, _, line = (problem.where or image.node.spec.dockerfile_path).rpartition(":")
    if not line.isdecimal():
        file, line = problem.where or image.node.spec.dockerfile_path, "1"
    return Hit(
        image=image.name,
        file=file,
        line=max(1, int(line)),
        message=problem.what,
        hint=problem.hint or problem.allowed,
        certainty=problem.certainty,
        unless=problem.unless,
    )


def _no_ignore_file(survey: LintInput) -> Iterator[Hit]:
    for name, image in survey.images.items():
        context = image.contexts[""]
        if context.ignore.source is not None or not image.node.recipe.sources:
            continue
        path = image.node.spec.dockerfile_path
        yield Hit(
            image=name,
            file=path,
            line=1,
            message=f"no ignore file: the context is {survey.whole[name].summary}, of which "
            f"{amount(context.size)} are copied",
            hint="invoke ignore --write",
            worth=context.size > _SLOW,
        )


def _wide(survey: LintInput) -> Iterator[Hit]:
    for name, image in survey.images.items():
        whole, own = survey.whole[name], image.contexts[""]
        copied = ContextFiles(
            {each.path: whole.files[each.path] for each in own.files if each.path in whole.files}
        )
        size = whole.size - copied.size
        if size > _WIDE and size > own.size:
            parts = ", ".join(f"{path} {megabytes(part)}" for path, part in whole.without(copied))
            beside = image.node.spec.dockerfile_path + DOCKERIGNORE
            yield Hit(
                image=name,
                file=image.contexts[""].ignore.source or image.node.spec.dockerfile_path,
                line=1,
                message=f"{megabytes(size)} of the context of {name} are never copied: {parts}",
                hint=f"exclude them in {image.contexts[''].ignore.source or beside}",
            )


def _unread(survey: LintInput) -> Iterator[Hit]:
    for name, image in survey.images.items():
        for path in survey.strays.get(name, ()):
            yield Hit(
                image=name,
                file=path,
                line=1,
                message=f"{path} is never read: only <Dockerfile>{DOCKERIGNORE} is, or the context's own",
                hint=f"move its lines into {image.node.spec.dockerfile_path}{DOCKERIGNORE}, with paths from "
                "the context's root, and delete it",
            )


def _hidden(survey: LintInput) -> Iterator[Hit]:
    for name, image in survey.images.items():
        yield from (of_problem(image, each) for each in faults({name: image}))
        for context in image.contexts.values():
            for missing in context.missing:
                if missing.optional and missing.hidden_by:
                    yield Hit(
                        image=name,
                        file=image.node.recipe.dockerfile.path,
                        line=missing.source.line,
                        message=f"{missing.source.instruction} {missing.path}: {missing.hidden_by} hides it",
                        hint="add a ! rule for it below that line, or remove the line",
                    )


def _idle_rules(survey: LintInput) -> Iterator[Hit]:
    for name in survey.images:
        for idle in survey.idle_rules.get(name, ()):
            rule = idle.rule
            verb = "includes" if rule.negated else "hides"
            yield Hit(
                image=name,
                file=rule.source,
                line=rule.line,
                message=f"`{rule.text}` {verb} nothing: {rule.pattern} is not in the context",
                hint=did_you_mean(idle.meant),
            )


RULES = (
    LintRule(
        id="LAM401",
        slug="no-ignore-file",
        severity="warning",
        summary="an image without an ignore file; below 50 MB of copied files it is a note",
        why="a broad COPY takes everything, and builders other than BuildKit send the whole folder",
        fixes="by hand: `invoke ignore --write`",
        find=_no_ignore_file,
    ),
    LintRule(
        id="LAM402",
        slug="wide-context",
        severity="note",
        summary="a context of which less than half is copied",
        why="builders other than BuildKit send all of it with every build",
        fixes="by hand",
        find=_wide,
    ),
    LintRule(
        id="LAM403",
        slug="unread-ignore-file",
        severity="warning",
        summary="an ignore file that is never read: in a sub-folder, or for a Dockerfile that does not exist",
        why="its author relies on rules that have no effect",
        fixes="by hand",
        find=_unread,
    ),
    LintRule(
        id="LAM404",
        slug="lost-source",
        severity="error",
        summary="a COPY source that does not exist, or that an ignore rule hides",
        why="the build fails, or the image lacks the files",
        fixes="by hand",
        find=_hidden,
    ),
    LintRule(
        id="LAM405",
        slug="idle-ignore-rule",
        severity="note",
        summary="an ignore rule for a path that does not exist, although a similar path does",
        why="it is probably misspelt, so that the similar path is included or excluded by mistake",
        fixes="by hand",
        find=_idle_rules,
    ),
)
