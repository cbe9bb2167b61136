"""Remove the install of a package that a base already has, with its COPY if nothing else uses it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lamina.declare.pip import Install
from lamina.declare.script import Replacement, ShellCommand, Word
from lamina.lint.findings import Edit, Fix
from lamina.lint.steps import CopiedPath, RunStep
from lamina.lint.survey import LintInput, Package


def provided_folders(
    survey: LintInput, step: RunStep, install: Install
) -> Iterator[tuple[Word, Package, str]]:
    """Yield the packages that a call of pip installs although a base has them: word, package, base."""
    held = survey.provided[step.image.name].folders
    for word in install.folders:
        package = survey.package(step, word.text)
        if package is not None and package.folder in held and step.in_image:
            yield word, package, held[package.folder]


def drop_folders(survey: LintInput, step: RunStep) -> Fix | None:
    """Return the edits that remove all such installs of a step; None if that is not certainly right."""
    if not step.script.editable or not step.root or step.other_shell:
        return None
    words: dict[Word, CopiedPath] = {}
    for install in step.installs:
        for word, package, owner in provided_folders(survey, step, install):
            place = step.place_of(word.text)
            if place is None or "[" in word.text or not install.command.top:
                return None
            if not _is_same(survey, step, package, owner):
                return None
            words[word] = place
    return removal(step, words)


def removal(step: RunStep, words: dict[Word, CopiedPath]) -> Fix | None:
    """Return the edits that remove installs of folders from a step, and copies that nothing else uses.

    words: the folders as written, and where they are. None: an operator or a comment is in the way.
    """
    unused = frozenset(place.path for place in words.values() if _is_unused(step, place, words))
    edits = _shortened(step, words, unused)
    return edits and (*edits, *_copies(step, words, unused))


def _is_same(survey: LintInput, step: RunStep, package: Package, owner: str) -> bool:
    """Whether the base is built from the same files of the package."""
    prefix = f"{package.folder}/" if package.folder else ""
    ours, theirs = (
        {each.path: each.sha256 for each in image.contexts[""].files if each.path.startswith(prefix)}
        for image in (step.image, survey.images[owner])
    )
    return ours == theirs and step.image.root("") == survey.images[owner].root("")


def _is_unused(step: RunStep, place: CopiedPath, words: dict[Word, CopiedPath]) -> bool:
    """Whether nothing else in the stage names the copied files, which are below ``/tmp`` or removed."""
    copy = place.copy
    if copy is None or not place.alone:
        return False
    if not place.path.startswith("/tmp/") and place.path not in removed(step):  # noqa: S108 - in the image
        return False
    named = re.compile(re.escape(place.path) + r"(?![\w.-])")
    for other in step.stage.stage.instructions:
        if other is step.instruction or other is copy:
            continue
        text = " ".join((*other.flags, *other.words, *(each.content for each in other.heredocs)))
        if named.search(text):
            return False
    uses = (word for command in step.script.commands if not _is_removal(command) for word in command.words)
    return all(word in words for word in uses if named.search(word.text))


def removed(step: RunStep) -> frozenset[str]:
    """Return the paths that a step removes."""
    commands = filter(_is_removal, step.script.commands)
    return frozenset(word.text.rstrip("/") for each in commands for word in each.words)


def _is_removal(command: ShellCommand) -> bool:
    return command.top and [word.text for word in command.words[:2]] == ["rm", "-rf"]


def _shortened(step: RunStep, words: dict[Word, CopiedPath], unused: frozenset[str]) -> Fix | None:
    """Return the step without these installs; it is removed if only preparations would remain."""
    script = step.script
    dropped: list[ShellCommand] = []
    edits: list[Replacement] = []
    for install in step.installs:
        mine = [word for word in install.folders if word in words]
        rest = [word for word in install.named if word not in mine]
        if mine and not rest and not install.values("-r", "--requirement", "-e", "--editable"):
            dropped.append(install.command)
        elif mine:
            edits += script.without_words(install.command, mine)
    for command in filter(_is_removal, script.commands):
        operands = command.words[2:]
        useless = [word for word in operands if word.text.rstrip("/") in unused]
        if len(useless) == len(operands):
            dropped.append(command)
        else:
            edits += script.without_words(command, useless)
    kept = [command for command in script.commands if command not in dropped]
    line = step.instruction
    if all(command.idle for command in kept):
        return (
            Edit(file=step.image.node.recipe.dockerfile.path, start=line.line, end=line.end + 1, lines=()),
        )
    spans = script.without(dropped)
    return None if spans is None else (step.edit([*spans, *edits]),)


def _copies(step: RunStep, words: dict[Word, CopiedPath], unused: frozenset[str]) -> Iterator[Edit]:
    copies = {place.copy.line: place.copy for place in words.values() if place.copy and place.path in unused}
    for copy in copies.values():
        yield Edit(file=step.image.node.recipe.dockerfile.path, start=copy.line, end=copy.end + 1, lines=())
