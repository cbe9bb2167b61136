"""Rules about what is installed: again, in vain, or in a step that runs more often than it must."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from lamina.decide.requirements import unpinned
from lamina.identify.fingerprint import distribution
from lamina.lint.findings import Hit
from lamina.lint.remove_installs import drop_folders, held_folders
from lamina.lint.rule import LintRule
from lamina.lint.split_installs import split, to_split
from lamina.lint.steps import RunStep, hit
from lamina.lint.survey import LintInput

_FORCE = ("--force-reinstall", "--ignore-installed", "-I")
_UPGRADE = ("--upgrade", "-U")
_REDIRECTED = re.compile(r"[A-Za-z][\w.-]*(\[[\w,.-]+\])?(>=?|<=?)[\d=].*")
_SHOWN = 4
_MANY = 2


def listed(names: list[str]) -> str:
    """The first names, and how many more there are."""
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
                message=f"pip install {word.text} installs again what is there already",
                fix=fix,
                hint=f"drop {word.text}; to move a version, pin it: pip install 'boto3==1.40.1'",
            )


def _package_again(survey: LintInput) -> Iterator[Hit]:
    for step, install in survey.installs:
        for word, package, owner in held_folders(survey, step, install):
            yield hit(
                step,
                word.start,
                message=f"{package.name} is installed again: its base {owner} has it",
                fix=drop_folders(survey, step),
                hint=f"drop `pip install {word.text}` and the COPY for it",
            )


def _requirement_again(survey: LintInput) -> Iterator[Hit]:
    for step, install in survey.installs:
        provided = survey.provided[step.image.name].distributions
        held = {package for _, package, _ in held_folders(survey, step, install)}
        told = {line for package in held for line in package.requires}
        lines = [line for line in survey.required(step, install) if line not in told]
        again = {distribution(line): line for line in lines if distribution(line) in provided}
        for owner in sorted({provided[name][0] for name in again}):
            names = sorted(name for name in again if provided[name][0] == owner)
            yield hit(
                step,
                install.install.start,
                message=f"{listed(names)}: its base {owner} requires the same",
                hint=f"leave {names[0]} to {owner}, and pin its version there",
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
                    message=f"{first.package.name} and what it requires are installed in one step",
                    fix=fix,
                    hint=f"{why_not}: install what {first.package.name}'s pyproject.toml requires before the "
                    "source is copied (RUN --mount=type=bind,source=…/pyproject.toml …), then --no-deps",
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


def _same_installs(survey: LintInput) -> Iterator[Hit]:
    alike: defaultdict[frozenset[str], list[RunStep]] = defaultdict(list)
    for step, install in survey.installs:
        held = survey.provided[step.image.name]
        names = {distribution(line) for line in survey.required(step, install)} - held.distributions.keys()
        folders = (survey.package(step, word.text) for word in install.folders)
        names |= {each.name for each in folders if each and each.folder not in held.folders}
        if names and step.in_image:
            alike[frozenset(names)].append(step)
    for packages, found in alike.items():
        images = sorted({step.image.name for step in found})
        if len(images) >= _MANY and len(packages) >= _MANY:
            yield hit(
                found[0],
                message=f"{len(images)} images ({listed(images)}) install the same {len(packages)} packages "
                f"({listed(sorted(packages))}), each for itself",
                hint="make a base: a Dockerfile that installs them, and FROM base-… in each of these",
            )


def _redirected(survey: LintInput) -> Iterator[Hit]:
    for step, install in survey.installs:
        for word in install.named:
            if not word.quoted and "\\" not in word.text and _REDIRECTED.fullmatch(word.text):
                name = re.split("[<>]", word.text)[0]
                yield hit(
                    step,
                    word.start,
                    message=f"the shell takes `{word.text[len(name) :]}` for a file: pip sees {name} alone",
                    hint=f"quote it: pip install '{word.text}'",
                )


RULES = (
    LintRule(
        id="LAM101",
        slug="force-reinstall",
        severity="warning",
        what="`--force-reinstall`, `--ignore-installed`, or `--upgrade` of what a base has",
        why="it downloads and unpacks what the base holds already, into a second layer of the same size",
        fixes="drops `--force-reinstall`",
        find=_force_reinstall,
    ),
    LintRule(
        id="LAM102",
        slug="package-again",
        severity="warning",
        what="a package of the repository is installed again in an image whose base has it",
        why="every edit of the package runs this install as well as that of the base",
        fixes="drops the install and a COPY that only served it",
        find=_package_again,
    ),
    LintRule(
        id="LAM103",
        slug="requirement-again",
        severity="note",
        what="a requirement that a base of the image declares already",
        why="two places decide the version, and the second one pays for it when they differ",
        fixes="by hand",
        find=_requirement_again,
    ),
    LintRule(
        id="LAM104",
        slug="source-with-dependencies",
        severity="warning",
        what="a package's dependencies are installed in the same step as its source",
        why="an edit of one line of the source installs every dependency again",
        fixes="a step for the dependencies before the source is copied, `--no-deps` for the source",
        find=_together,
    ),
    LintRule(
        id="LAM107",
        slug="unpinned",
        severity="note",
        what="requirements that nothing in the context pins",
        why="a later build may get other versions without anything having changed",
        fixes="by hand",
        find=_unpinned,
    ),
    LintRule(
        id="LAM108",
        slug="same-installs",
        severity="note",
        what="several images install the same packages, each for itself",
        why="a base would install them once, and its layers would be stored and pulled once",
        fixes="by hand",
        find=_same_installs,
    ),
    LintRule(
        id="LAM109",
        slug="unquoted-requirement",
        severity="error",
        what="a requirement such as `chromadb>=0.5` without quotes",
        why="the shell redirects the output to a file of that name, and pip never sees the version",
        fixes="by hand",
        find=_redirected,
    ),
)
