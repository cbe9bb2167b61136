"""Rules about installs: repeated, misread by the shell, or rerun more often than needed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lamina.decide.requirements import unpinned
from lamina.identify.fingerprint import distribution
from lamina.lint.findings import Hit
from lamina.lint.remove_installs import drop_folders, provided_folders
from lamina.lint.rule import LintRule
from lamina.lint.split_installs import split, to_split
from lamina.lint.steps import hit
from lamina.lint.survey import LintInput

_FORCE = ("--force-reinstall", "--ignore-installed", "-I")
_UPGRADE = ("--upgrade", "-U")
_REDIRECTED = re.compile(r"[A-Za-z][\w.-]*(\[[\w,.-]+\])?(>=?|<=?)[\d=].*")
_SHOWN = 4


def listed(names: list[str]) -> str:
    """Join the first names, and count the rest."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _force_reinstall(survey: LintInput) -> Iterator[Hit]:
    for step, install in survey.installs:
        provided = survey.provided[step.image.name]
        again = [
            line for line in survey.required(step, install) if distribution(line) in provided.distributions
        ]
        again += [word.text for word in install.folders if survey.package(step, word.text)]
        for word in (*install.flags(*_FORCE), *(install.flags(*_UPGRADE) if again else ())):
            forced = word.text == "--force-reinstall" and step.script.editable
            fix = (step.edit(list(step.script.without_words(install.command, (word,)))),) if forced else None
            yield hit(
                step,
                word.start,
                message=f"pip install {word.text} reinstalls packages that are already installed",
                fix=fix,
                hint=f"remove {word.text}; to change a version, pin it: pip install 'boto3==1.40.1'",
            )


def _package_again(survey: LintInput) -> Iterator[Hit]:
    for step, install in survey.installs:
        for word, package, owner in provided_folders(survey, step, install):
            yield hit(
                step,
                word.start,
                message=f"{package.name} is installed again: the base {owner} already has it",
                fix=drop_folders(survey, step),
                hint=f"remove `pip install {word.text}` and its COPY",
            )


def _requirement_again(survey: LintInput) -> Iterator[Hit]:
    for step, install in survey.installs:
        provided = survey.provided[step.image.name].distributions
        held = {package for _, package, _ in provided_folders(survey, step, install)}
        inherited = {line for package in held for line in package.requires}
        lines = [line for line in survey.required(step, install) if line not in inherited]
        again = {distribution(line): line for line in lines if distribution(line) in provided}
        for owner in sorted({provided[name][0] for name in again}):
            names = sorted(name for name in again if provided[name][0] == owner)
            yield hit(
                step,
                install.install.start,
                message=f"{listed(names)}: the base {owner} already requires it",
                hint=f"require {names[0]} only in {owner}, and pin its version there",
            )


def _together(survey: LintInput) -> Iterator[Hit]:
    for found in survey.steps.values():
        for step in found:
            if candidates := to_split(survey, step):
                first = candidates[0]
                fix, why_not = split(survey, step, candidates)
                yield hit(
                    step,
                    first.install.install.start,
                    message=f"{first.package.name} and its dependencies are installed in one step",
                    fix=fix,
                    hint=f"{why_not}: install the dependencies in {first.package.name}'s pyproject.toml "
                    "before the source is copied (RUN --mount=type=bind,source=…/pyproject.toml …), then "
                    "--no-deps",
                )


def _unpinned(survey: LintInput) -> Iterator[Hit]:
    for name, image in survey.images.items():
        for problem in unpinned({name: image}, survey.local_names):
            yield Hit(
                image=name,
                file=problem.where or image.node.spec.dockerfile_path,
                line=1,
                message=problem.what.removeprefix(f"{name}: "),
                hint=problem.hint,
            )


def _redirected(survey: LintInput) -> Iterator[Hit]:
    for step, install in survey.installs:
        for word in install.named:
            if not word.quoted and "\\" not in word.text and _REDIRECTED.fullmatch(word.text):
                name = re.split("[<>]", word.text)[0]
                yield hit(
                    step,
                    word.start,
                    message=f"the shell takes `{word.text[len(name) :]}` as a redirection: pip sees {name}",
                    hint=f"quote it: pip install '{word.text}'",
                )


RULES = (
    LintRule(
        id="LAM101",
        slug="force-reinstall",
        severity="warning",
        summary="`--force-reinstall`, `--ignore-installed`, or `--upgrade` of packages that a base has",
        why="it downloads and unpacks what the base already has, into a second layer of the same size",
        fixes="removes `--force-reinstall`",
        find=_force_reinstall,
    ),
    LintRule(
        id="LAM102",
        slug="package-again",
        severity="warning",
        summary="a package of the repository is installed again, although the image's base has it",
        why="every edit of the package reruns this install as well as the base's",
        fixes="removes the install, and its COPY if nothing else uses it",
        find=_package_again,
    ),
    LintRule(
        id="LAM103",
        slug="requirement-again",
        severity="note",
        summary="a requirement that a base of the image already has",
        why="the version is decided twice, and the second install adds to the image when they differ",
        fixes="by hand",
        find=_requirement_again,
    ),
    LintRule(
        id="LAM104",
        slug="source-with-dependencies",
        severity="warning",
        summary="a package's dependencies are installed in the same step as its source",
        why="an edit of one line of the source reinstalls every dependency",
        fixes="adds a step for the dependencies before the source is copied; `--no-deps` for the source",
        find=_together,
    ),
    LintRule(
        id="LAM107",
        slug="unpinned",
        severity="note",
        summary="requirements that no file of the context pins",
        why="a later build may get other versions although nothing changed",
        fixes="by hand",
        find=_unpinned,
    ),
    LintRule(
        id="LAM109",
        slug="unquoted-requirement",
        severity="error",
        summary="a requirement such as `chromadb>=0.5` without quotes",
        why="the shell redirects the output to a file of that name, and pip never sees the version",
        fixes="by hand",
        find=_redirected,
    ),
)
