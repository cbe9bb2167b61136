"""Rules about packages that make an image larger for nothing; the lock of uv has the sizes of wheels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from lamina.declare.lockfile import UV_LOCK
from lamina.declare.pip import Install, read_install, read_uv_install
from lamina.declare.uv_lock import UnusualLockError
from lamina.identify.excerpt import selection_from
from lamina.identify.fingerprint import distribution
from lamina.identify.image import Image
from lamina.lint.environments import copied_from, wheel_bytes
from lamina.lint.findings import Hit
from lamina.lint.installs import listed
from lamina.lint.rule import LintRule
from lamina.lint.steps import RunStep, hit
from lamina.lint.survey import LintInput
from lamina.report.figures import size

_LEAST = 1_000_000
"""Bytes of wheels; smaller ones are not worth a finding."""
_LEAST_MEASURED = 5_000_000
"""Unpacked bytes of one kind of files."""
_JUDGED = frozenset({"tests", "docs", "stubs", "sources", "installers", "hidden", "twice"})
"""Kinds of files that `size` finds. Copies of the runtime's packages have a rule of their own."""
_IN_RUNTIME = frozenset({"boto3", "botocore", "s3transfer"})
"""What Lambda's Python runtimes have. Source: AWS, "Runtime-provided SDK for Python"."""
_TOOLS = frozenset(
    {"ruff", "mypy", "black", "flake8", "pylint", "isort", "tox", "nox", "pre-commit", "pyright", "coverage"}
    | {"pytest", "pytest-cov", "pytest-xdist", "pytest-mock", "moto", "ipython", "jupyterlab", "notebook"}
)
_STUBS = re.compile(r"types-.+|.+-stubs|mypy-boto3-.+")
_LEFT_OUT = re.compile(r"--(?:no-install-package|no-emit-package|prune|only-group)\b")
_PIN = re.compile(r"([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([\w.!+-]+)")
Archives = Mapping[str, Mapping[str, int]]
"""Requirement -> its archives, by file name, and their bytes."""


def _locked(survey: LintInput, image: Image) -> tuple[RunStep, Archives] | None:
    """Return a step that installs from the lock of an image, and what all of them install; None if unsure."""
    lock = survey.locks.get(image.name, {}).get(UV_LOCK)
    file = next((each for each in image.contexts[""].files if each.path == UV_LOCK), None)
    readers = [each for each in survey.steps[image.name] if _reads_lock(each)]
    selection = selection_from(image.node.recipe, file) if file is not None else None
    if lock is None or selection is None or not readers or any(map(_leaves_out, readers)):
        return None
    try:
        return readers[0], lock.sizes(replace(selection, groups="none"))
    except UnusualLockError:
        return None


def _reads_lock(step: RunStep) -> bool:
    words = (word.text for command in step.script.commands for word in command.words)
    return (step.in_image or copied_from(step) is not None) and not {"sync", "export"}.isdisjoint(words)


def _leaves_out(step: RunStep) -> bool:
    return _LEFT_OUT.search(step.script.text) is not None


def _name(pin: str) -> str:
    return distribution(pin)


def _weighed(step: RunStep, archives: Archives, names: Collection[str]) -> tuple[list[str], int]:
    chosen = {pin: files for pin, files in archives.items() if _name(pin) in names}
    return sorted({_name(pin) for pin in chosen}), wheel_bytes(step, chosen) or 0


def _runtime_copies(survey: LintInput) -> Iterator[Hit]:
    for image in survey.images.values():
        found = _locked(survey, image) if survey.on_runtime(image) else None
        names, ships = _weighed(*found, _IN_RUNTIME) if found else ([], 0)
        if found and ships >= _LEAST:
            yield hit(
                found[0],
                message=f"{listed(names)}: {size(ships)} of wheels that Lambda's runtime has as well",
                hint="if the runtime's version will do: "
                + " ".join(f"--no-emit-package {each}" for each in names),
            )


def _tools(survey: LintInput) -> Iterator[Hit]:
    for image in survey.images.values():
        found = _locked(survey, image)
        useless = {_name(pin) for pin in found[1] if _is_tool(_name(pin))} if found else set()
        names, ships = _weighed(*found, useless) if found else ([], 0)
        if found and ships >= _LEAST:
            where = hit(found[0], message="")
            yield Hit(
                image=image.name,
                file=where.file,
                line=where.line,
                message=f"{listed(names)}: {size(ships)} of wheels that a function does not run",
                hint="require them in [dependency-groups] dev, and install with --no-dev",
                step=True,
                certainty="likely",
                unless="a function imports them",
            )


def _is_tool(name: str) -> bool:
    return name in _TOOLS or _STUBS.fullmatch(name) is not None


def _two_versions(survey: LintInput) -> Iterator[Hit]:
    pins = {name: _pins(survey, image) for name, image in survey.images.items()}
    for name, image in survey.images.items():
        below: dict[str, tuple[str, str]] = {}
        for owner in _bases(survey, image):
            below |= {package: (version, owner) for package, (version, _) in pins[owner].items()}
        for package, (version, step) in sorted(pins[name].items()):
            if package in below and below[package][0] != version:
                old, owner = below[package]
                yield hit(
                    step,
                    message=f"{package}=={version} is installed above {package}=={old} of the base {owner}: "
                    "the image has both",
                    hint=f"pin {package} to one version, in {owner}",
                )


def _measured(survey: LintInput) -> Iterator[Hit]:
    for name, found in survey.measured.items():
        for each in found.unneeded if name in survey.images else ():
            if each.kind in _JUDGED and each.bytes >= _LEAST_MEASURED:
                recipe = survey.images[name].node.recipe
                yield Hit(
                    image=name,
                    file=recipe.dockerfile.path,
                    line=recipe.stages[-1].stage.line,
                    message=f"{each.kind}: {size(each.bytes)} in {listed([*each.parts])} of {found.tag}, "
                    "which was measured last",
                    hint=f"look at them before you remove any: lamina size {name}",
                )


def _bases(survey: LintInput, image: Image) -> Iterator[str]:
    """Yield the bases of an image in the project, the lowest first."""
    for parent in image.node.parents:
        if parent in survey.images:
            yield from _bases(survey, survey.images[parent])
            yield parent


def _pins(survey: LintInput, image: Image) -> dict[str, tuple[str, RunStep]]:
    """Return the packages whose version is certain: name -> version, and the step that installs it."""
    found: dict[str, tuple[str, RunStep]] = {}
    locked = _locked(survey, image)
    lines = [(pin, locked[0]) for pin in locked[1]] if locked else []
    for step in survey.steps[image.name]:
        lines += ((line, step) for install in _installs(step) for line in _lines(step, install))
    named = Counter(_name(line) for line, _ in lines)
    for line, step in lines:
        if (pin := _PIN.match(line)) and named[_name(line)] == 1:  # others differ by platform or step
            found[_name(line)] = (pin[2], step)
    return found


def _installs(step: RunStep) -> Iterator[Install]:
    """Yield the installs of pip and uv that the image gets: tools in another stage are not part of it."""
    for command in step.script.commands:
        for each in filter(None, (read_install(command), read_uv_install(command))):
            if step.in_image or (each.values("-t", "--target") and copied_from(step) is not None):
                yield each


def _lines(step: RunStep, install: Install) -> Iterator[str]:
    yield from (word.text for word in install.requirements)
    for file in install.values("-r", "--requirement"):
        place = step.place_of(file)
        yield from step.image.inputs.requirements.get(place.source, ()) if place else ()


RULES = (
    LintRule(
        id="LAM117",
        slug="runtime-copy",
        severity="note",
        summary="boto3 and botocore from `uv.lock` in an image on Lambda's runtime, which has them",
        why="they are in the image twice; a copy of your own fixes the version, while AWS moves theirs",
        fixes="by hand",
        find=_runtime_copies,
    ),
    LintRule(
        id="LAM118",
        slug="tools-in-image",
        severity="warning",
        summary="linters, test tools and type stubs from `uv.lock` in an image, of 1 MB or more",
        why="they make the image larger, and functions do not import them",
        fixes="by hand",
        find=_tools,
    ),
    LintRule(
        id="LAM119",
        slug="two-versions",
        severity="warning",
        summary="a package in another version than the one that a base of the image pins",
        why="both versions are stored and pulled, and the second one hides the first",
        fixes="by hand",
        find=_two_versions,
    ),
    LintRule(
        id="LAM121",
        slug="unneeded-files",
        severity="note",
        summary="5 MB or more of tests, docs, stubs, sources or doubled files, by `lamina size`",
        why="they are stored, and pulled by Lambda, and functions do not use them",
        fixes="by hand",
        find=_measured,
    ),
)
