"""Split an install step in two: first a package's dependencies, then its source.

The step for the dependencies sees only the ``pyproject.toml``, by a bind mount, so it stays a cache hit when
the source is edited. It needs pip and Python 3.11 (``tomllib``), which Lambda's runtime has.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

from lamina.declare.pip import Install
from lamina.declare.script import Replacement, ShellCommand, Word
from lamina.identify.fingerprint import distribution
from lamina.lint.findings import Edit, Fix
from lamina.lint.remove_installs import provided_folders
from lamina.lint.steps import CopiedPath, RunStep
from lamina.lint.survey import LintInput, Package

_DEPS = "/tmp/deps"  # noqa: S108 - in the image
_PYPROJECT = "pyproject.toml"
_OLDEST = (3, 11)
_BETWEEN = frozenset({"COPY", "ADD", "LABEL", "EXPOSE", "STOPSIGNAL"})
_AS_IT_IS = frozenset({"--no-cache-dir", "-q", "--quiet", "-v", "--verbose", "--disable-pip-version-check"})
_WITH_VALUE = frozenset({"-i", "--index-url", "--extra-index-url", "--trusted-host", "--root-user-action"})
_OPTIONS = _AS_IT_IS | _WITH_VALUE | {"--no-compile", "--prefer-binary", "--force-reinstall"}
CONTINUED = re.compile(r"\\[ \t]*\r?\n(?:[ \t]*(?:#[^\n]*)?\r?\n)*[ \t]*")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _SplitCase:
    """A step, and the packages for which it may be split."""

    survey: LintInput
    step: RunStep
    found: tuple[SplitCandidate, ...]

    @property
    def start(self) -> int:
        """The offset of the first call of pip that installs one of the packages."""
        return min(each.install.command.start for each in self.found)


def to_split(survey: LintInput, step: RunStep) -> tuple[SplitCandidate, ...]:
    """Return the local packages that a step installs with dependencies, without those that a base has."""
    found: list[SplitCandidate] = []
    for install in step.installs:
        again = {word for word, _, _ in provided_folders(survey, step, install)}
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
    case = _SplitCase(survey=survey, step=step, found=found)
    if why_not := _obstacle(case):
        return None, why_not
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
        file=file, start=start, end=start, lines=tuple(_dependencies(survey, step, found, case.start, apart))
    )
    return (before, step.edit(shortened)), ""


def _obstacle(case: _SplitCase) -> str | None:
    """Return why a step cannot be split safely; None if it can."""
    reasons = (check(case) for check in _STEP_CHECKS)
    own = (check(case, each) for each in case.found for check in _PACKAGE_CHECKS)
    return next(filter(None, chain(reasons, own)), None)


def _without_tomllib(case: _SplitCase) -> str | None:
    python = case.survey.python(case.step.image, case.step.stage)
    return "it is not certain that the image has Python 3.11" if python is None or python < _OLDEST else None


def _unusual_syntax(case: _SplitCase) -> str | None:
    step = case.step
    escapes = any(each.startswith("escape=") for each in step.image.node.recipe.dockerfile.directives)
    if escapes or not step.script.editable or step.other_shell or not step.root:
        return "the step is a heredoc, has another shell or user, or the file has another escape character"
    return None


def _unequal_options(case: _SplitCase) -> str | None:
    if case.step.steered or len({_options(case.step, each.install) for each in case.found}) > 1:
        return "the calls of pip have different options, or ENV configures pip"
    return None


def _earlier_commands(case: _SplitCase) -> str | None:
    first, apart = case.start, _apart(case.survey, case.step)
    if any(not each.idle for each in case.step.script.commands if each.start < first and each not in apart):
        return "other commands run before the install"
    return None


def _dynamic_dependencies(_: _SplitCase, each: SplitCandidate) -> str | None:
    return f"the dependencies of {each.package.name} are dynamic" if each.package.dynamic else None


def _extras_or_editable(_: _SplitCase, each: SplitCandidate) -> str | None:
    if "[" in each.word.text or each.word in tuple(_editables(each.install)):
        return f"{each.word.text} has extras or is editable"
    return None


def _other_options(_: _SplitCase, each: SplitCandidate) -> str | None:
    if not each.install.command.top or any(one.name not in _OPTIONS for one in each.install.options):
        return "pip is called with options, or inside a construct, that may matter"
    return None


def _copied_elsewhere(case: _SplitCase, each: SplitCandidate) -> str | None:
    path = case.step.place_of(each.word.text)
    if path is None or path.copy is None or path.copy not in case.step.stage.stage.instructions:
        return f"{each.package.folder} is not copied in the same stage"
    return None


def _missing_packages(case: _SplitCase, each: SplitCandidate) -> str | None:
    survey = case.survey
    provided = survey.provided[case.step.image.name].folders
    below = {survey.packages[owner][folder].name for folder, owner in provided.items()}
    local = {distribution(line) for line in each.package.requires} & survey.local_names
    missing = local - {one.package.name for one in case.found} - below
    if missing:
        return f"{', '.join(sorted(missing))} is neither in a base nor installed in this step"
    return None


_STEP_CHECKS: tuple[Callable[[_SplitCase], str | None], ...] = (
    _without_tomllib,
    _unusual_syntax,
    _unequal_options,
    _earlier_commands,
)
"""Each returns a reason not to split a step, or None. The first reason is reported."""
_PACKAGE_CHECKS: tuple[Callable[[_SplitCase, SplitCandidate], str | None], ...] = (
    _dynamic_dependencies,
    _extras_or_editable,
    _other_options,
    _copied_elsewhere,
    _missing_packages,
)
"""The same for each package that the step installs."""


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
        lines.append(CONTINUED.sub("", script.text[prepared[0].start : prepared[-1].end]) + ";")
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
