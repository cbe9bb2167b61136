"""The rule about a lock that is exported as requirements: uv then asks the index for each package again."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from itertools import pairwise

from lamina.declare.pip import Install, read_uv_install
from lamina.declare.script import ShellCommand, Word, call_of
from lamina.lint.findings import Fix, Hit
from lamina.lint.rule import LintRule
from lamina.lint.steps import RunStep, hit
from lamina.lint.survey import LintInput

_PYLOCK = "pylock.toml"
_FEATURE = " --preview-features=pylock"
_OUTPUT = ("-o", "--output-file")
_LISTED = ("-r", "--requirement", "--requirements")
_FORMS = frozenset({"requirements.txt", "requirements-txt"})
_INDEX = re.compile(r"UV_\w*(?:INDEX|FIND_LINKS|CONFIG_FILE)\w*|PIP_\w+")
"""Variables that may name another index than the lock does."""
_OTHER_INDEX = (
    "--index", "--default-index", "--index-url", "-i", "--extra-index-url", "--find-links", "-f",
    "--no-index", "--emit-index-url", "--emit-find-links", "--config-file", "-c", "--constraint",
    "--constraints",
)  # fmt: skip
_UV_VERSION = re.compile(r"\buv(?:==|:)(\d+)\.(\d+)")
_OLDEST = (0, 9)
"""The uv that knows the option which says that the file is meant to be a pylock.toml."""


def _exports(survey: LintInput) -> Iterator[Hit]:
    for found in survey.steps.values():
        for step in found:
            named = {*step.environment, *dict(step.stage.args)}
            if any(map(_INDEX.fullmatch, named)) or _is_old(step):
                continue
            for command in step.script.commands:
                output = _output(command)
                install = next(filter(None, (_reads(each, output) for each in step.script.commands)), None)
                if output is None or install is None:
                    continue
                yield hit(
                    step,
                    output.start,
                    message=f"uv asks the index for each package of {posixpath.basename(output.text)} again",
                    fix=_renamed(step, output, install),
                    hint=f"uv export … -o /tmp/{_PYLOCK} && uv pip install{_FEATURE} … -r /tmp/{_PYLOCK}",
                )


def _is_old(step: RunStep) -> bool:
    """Whether the Dockerfile names a uv that is too old."""
    pinned = _UV_VERSION.findall(step.image.node.recipe.dockerfile.text)
    return any((int(major), int(minor)) < _OLDEST for major, minor in pinned)


def _output(command: ShellCommand) -> Word | None:
    """Return the word that names the requirements file which ``uv export`` writes."""
    program, words = call_of(command)
    if program != "uv" or not words or words[0].text != "export" or _has(words, _OTHER_INDEX):
        return None
    form = _value(words, ("--format",))
    output = _value(words, _OUTPUT)
    if output is None or (form is not None and form.text not in _FORMS):
        return None
    return output if output.text.endswith(".txt") and not output.quoted else None


def _value(words: list[Word], names: tuple[str, ...]) -> Word | None:
    """Return the word behind an option."""
    pairs = pairwise(words)
    return next((value for option, value in pairs if option.text in names), None)


def _has(words: list[Word], names: tuple[str, ...]) -> bool:
    return any(word.text.partition("=")[0] in names for word in words)


def _reads(command: ShellCommand, output: Word | None) -> Install | None:
    """Return the ``uv pip install`` of a file and of nothing else."""
    install = read_uv_install(command)
    if install is None or output is None or _has([*command.words], _OTHER_INDEX):
        return None
    listed = _listed([*command.words])
    named = [word for word in install.named if word not in listed]
    return install if [word.text for word in listed] == [output.text] and not named else None


def _listed(words: list[Word]) -> list[Word]:
    """Return the words that name requirements files."""
    return [value for option, value in pairwise(words) if option.text in _LISTED]


def _renamed(step: RunStep, output: Word, install: Install) -> Fix | None:
    """Return the edits that make the file a lock. None if anything else may read it, or its form is given."""
    used = step.image.node.recipe.dockerfile.text.count(posixpath.basename(output.text).removesuffix("txt"))
    words = [word for command in step.script.commands for word in command.words]
    same = [word for word in words if word.text == output.text]
    given = any(word.text.partition("=")[0] in {"--format", "--preview-features"} for word in words)
    if not step.script.editable or used != len(same) or given:
        return None
    path = posixpath.join(posixpath.dirname(output.text), _PYLOCK)
    at = install.install.end
    return (step.edit([*((word.start, word.end, path) for word in same), (at, at, _FEATURE)]),)


RULES = (
    LintRule(
        id="LAM120",
        slug="lock-as-requirements",
        severity="note",
        summary="`uv export` of a requirements file that `uv pip install` then reads",
        why="the index pages of all packages are downloaded to find wheels whose addresses uv.lock has; a "
        "pylock.toml keeps them",
        fixes="exports `pylock.toml` instead, if nothing else reads the file",
        find=_exports,
    ),
)
