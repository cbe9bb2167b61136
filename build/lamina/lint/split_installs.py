"""Split an install step in two: first a package's dependencies, then its source.

The step for the dependencies sees only the ``pyproject.toml``, by a bind mount, so it stays a cache hit when
the source is edited. It needs pip and Python 3.11 (``tomllib``), which Lambda's runtime has.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

from lamina.declare.pip import Install
from lamina.declare.script import Replacement, ShellCommand, Word
from lamina.identify.fingerprint import distribution
from lamina.lint.findings import Edit, Fix
from lamina.lint.remove_installs import held_folders
from lamina.lint.steps import CopiedPath, RunStep
from lamina.lint.survey import LintInput, Package

_DEPS = "/tmp/deps"  # noqa: S108 - in the image
_PYPROJECT = "pyproject.toml"
_OLDEST = (3, 11)
_BETWEEN = frozenset({"COPY", "ADD", "LABEL", "EXPOSE", "STOPSIGNAL"})
_AS_IT_IS = frozenset({"--no-cache-dir", "-q", "--quiet", "-v", "--verbose", "--disable-pip-version-check"})
_WITH_VALUE = frozenset({"-i", "--index-url", "--extra-index-url", "--trusted-host", "--root-user-action"})
_OPTIONS = _AS_IT_IS | _WITH_VALUE | {"--no-compile", "--prefer-binary", "--force-reinstall"}
_CONTINUED = re.compile(r"\\[ \t]*\r?\n(?:[ \t]*(?:#[^\n]*)?\r?\n)*[ \t]*")
_PRINT = (
    "import {modules}; [print(line) for file in sys.argv[1:] "
    'for line in tomllib.load(open(file, "rb"))["project"].get("dependencies", []){condition}]'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitCandidate:
    """A folder that is installed from source together with its dependencies."""

    install: Install
    word: Word
    package: Package


def to_split(survey: LintInput, step: RunStep) -> tuple[SplitCandidate, ...]:
    """Return the local packages that a step installs with dependencies, without those that a base has."""
    found: list[SplitCandidate] = []
    for install in step.installs:
        again = {word for word, _, _ in held_folders(survey, step, install)}
        paths = (*install.folders, *_editables(install))
        for word in paths if not install.flags("--no-deps") else ():
            package = survey.package(step, word.text)
            if package is not None and word not in again:
                found.append(SplitCandidate(install=install, word=word, package=package))
    heavy = any(
        survey.outside(each.package) or each.package.dynamic or "[" in each.word.text for each in found
    )
    return tuple(found) if heavy or (found and any(each.requirements for each in step.installs)) else ()


def _editables(install: Install) -> Iterator[Word]:
    for option in install.options:
        if option.name in {"-e", "--editable"}:
            yield option.words[-1]


def split(survey: LintInput, step: RunStep, found: tuple[SplitCandidate, ...]) -> tuple[Fix | None, str]:
    """Return the edits and "", or None and the reason why there are none."""
    if why_not := next(_obstacles(survey, step, found), None):
        return None, why_not
    first = min(each.install.command.start for each in found)
    apart = _apart(survey, step)
    spans = step.script.without(apart)
    start = _insert_at(step, found)
    if spans is None or start is None:
        return None, "the step is too complex to be split"
    calls = {each.install.command.start: each.install for each in found}
    shortened: list[Replacement] = [*spans]
    shortened += [(each.install.end, each.install.end, " --no-deps") for each in calls.values()]
    file = step.image.node.recipe.dockerfile.path
    before = Edit(
        file=file, start=start, end=start, lines=tuple(_dependencies(survey, step, found, first, apart))
    )
    return (before, step.edit(shortened)), ""


def _obstacles(survey: LintInput, step: RunStep, found: tuple[SplitCandidate, ...]) -> Iterator[str]:
    """Yield the reasons why a step cannot be split safely."""
    provided = survey.provided[step.image.name]
    installed = {each.package.name for each in found}
    python = survey.python(step.image, step.stage)
    if python is None or python < _OLDEST:
        yield "it is not certain that the image has Python 3.11"
    escapes = any(each.startswith("escape=") for each in step.image.node.recipe.dockerfile.directives)
    if escapes or not step.script.editable or step.other_shell or not step.root:
        yield "the step is a heredoc, has another shell or user, or the file has another escape character"
    if step.steered or len({_options(step, each.install) for each in found}) > 1:
        yield "the calls of pip have different options, or ENV configures pip"
    first = min(each.install.command.start for each in found)
    apart = _apart(survey, step)
    if any(not each.idle for each in step.script.commands if each.start < first and each not in apart):
        yield "other commands run before the install"
    below = {survey.packages[owner][folder].name for folder, owner in provided.folders.items()}
    for each in found:
        package, place = each.package, step.place_of(each.word.text)
        if package.dynamic:
            yield f"the dependencies of {package.name} are dynamic"
        if "[" in each.word.text or each.word in tuple(_editables(each.install)):
            yield f"{each.word.text} has extras or is editable"
        if not each.install.command.top or any(one.name not in _OPTIONS for one in each.install.options):
            yield "pip is called with options, or inside a construct, that may matter"
        if place is None or place.copy is None or place.copy not in step.stage.stage.instructions:
            yield f"{package.folder} is not copied in the same stage"
        local = {distribution(line) for line in package.requires} & survey.local_names
        if missing := local - installed - below:
            yield f"{', '.join(sorted(missing))} is neither in a base nor installed in this step"


def _apart(survey: LintInput, step: RunStep) -> list[ShellCommand]:
    """Return the installs that use only an index; they move into the new step."""
    return [
        each.command
        for each in step.installs
        if each.command.top
        and each.requirements == each.named
        and all(option.name in _OPTIONS for option in each.options)
        and survey.local_names.isdisjoint(distribution(word.text) for word in each.named)
    ]


def _options(step: RunStep, install: Install) -> str:
    """Return the options of a call that the new step needs as well, as written."""
    return "".join(
        f" {step.script.text[each.words[0].start : each.words[-1].end]}"
        for each in install.options
        if each.name in _AS_IT_IS | _WITH_VALUE and each.words[0].start > install.install.start
    )


def _insert_at(step: RunStep, found: tuple[SplitCandidate, ...]) -> int | None:
    """Return the line of the packages' first COPY; None if an instruction in between may matter to pip."""
    places: list[CopiedPath] = [place for each in found if (place := step.place_of(each.word.text))]
    copies = [place.copy for place in places if place.copy is not None]
    first = min(copy.line for copy in copies)
    between = (each for each in step.stage.stage.instructions if first <= each.line < step.instruction.line)
    return first if all(each.name in _BETWEEN for each in between) else None


def _dependencies(
    survey: LintInput, step: RunStep, found: tuple[SplitCandidate, ...], first: int, apart: list[ShellCommand]
) -> Iterator[str]:
    """Yield the lines of the new step."""
    script = step.script
    packages = {each.package.folder: each.package for each in found if survey.outside(each.package)}
    targets = {folder: f"{_DEPS}/{(folder or 'project').replace('/', '-')}.toml" for folder in packages}
    flags = [
        f"--mount=type=bind,source={posixpath.join(folder, _PYPROJECT)},target={target}"
        for folder, target in targets.items()
    ]
    call = next(each.install for each in found)
    head = script.text[call.command.start : call.install.end]
    commands: list[str] = []
    if packages:
        program = _program(survey, tuple(packages.values()))
        commands.append(f"python3 -c '{program}' {' '.join(targets.values())} > {_DEPS}.txt")
        commands += [f"{head}{_options(step, call)} -r {_DEPS}.txt", f"rm {_DEPS}.txt"]
    commands += [script.text[each.start : each.end] for each in apart]
    prepared = [each for each in script.commands if each.start < first and each not in apart]
    flags = [*step.instruction.flags, *flags]
    lines = [" ".join(["RUN", *flags[:1]]), *flags[1:]]
    if prepared:
        lines.append(_CONTINUED.sub("", script.text[prepared[0].start : prepared[-1].end]) + ";")
    tail = [f"{each} &&" for each in commands[:-1]] + commands[-1:]
    lines += [line for each in tail for line in each.replace("\r", "").split("\n")]
    for index, line in enumerate(lines):
        cut = line.strip() if index else line
        last = index == len(lines) - 1
        continued = cut.endswith("\\")
        yield ("    " if index else "") + cut + ("" if last or continued else " \\")


def _program(survey: LintInput, packages: tuple[Package, ...]) -> str:
    """Return the program that prints the requirements of project files, without local packages."""
    local = sorted({distribution(line) for each in packages for line in each.requires} & survey.local_names)
    if not local:
        return _PRINT.format(modules="sys, tomllib", condition="")
    names = "|".join(each.replace("-", "[-_.]+") for each in local)
    condition = f' if not re.match(r"(?i)({names})(?![\\w.-])", line)'
    return _PRINT.format(modules="re, sys, tomllib", condition=condition)
