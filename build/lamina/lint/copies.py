"""Rules about COPY: sources copied before an install, linked layers, and permissions of files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from lamina.declare.dockerfile import Instruction
from lamina.declare.pip import Install
from lamina.declare.recipe import ResolvedStage
from lamina.identify.image import Image
from lamina.identify.layout import TASK_ROOT
from lamina.lint.findings import Edit, Fix, Hit
from lamina.lint.rule import LintRule
from lamina.lint.steps import ROOT_USERS, CopiedPath, RunStep, edit_of, is_file
from lamina.lint.survey import LintInput
from lamina.lint.tools import whole_context

_DEPENDENCIES = re.compile(
    r"(.*[-_.])?(requirements|constraints)([-_.].*)?\.(txt|in)|pyproject\.toml|.*\.lock|pylock\..*|setup\.(py|cfg)"
)
_LOCAL_LINE = re.compile(r"\s*(-[erc]\b|--(editable|requirement|constraint)|\.|/|file:)|.*@\s*file:")
_CHMOD = re.compile(r"(?:0?[0-7][0-7][0-3])|(?:[augo]*o[augo]*-[wx]*r[wx]*)|go-\S*r\S*|go=")
_TASK = re.compile(r"(\$\{?LAMBDA_TASK_ROOT\}?|/var/task)(/[\w./-]*)?")
_SUFFIX = re.compile(r"\.[A-Za-z]\w*$")
_CONFIGURING = ("/etc", "/root")
"""Where pip reads its configuration."""
_PROGRAMS = frozenset({"RUN", "WORKDIR", "SHELL"})


def _hit(image: Image, line: int, message: str, hint: str | None = None, fix: Fix | None = None) -> Hit:
    file = image.node.recipe.dockerfile.path
    return Hit(image=image.name, file=file, line=line, message=message, hint=hint, fix=fix, step=True)


def _too_early(
    image: Image, copy: Instruction, step: RunStep, message: str, hint: str, fix: Fix | None
) -> Hit:
    """Return the hit of a COPY that makes a later step run again."""
    return replace(_hit(image, copy.line, message, hint, fix), delays=step.instruction.line)


def _installing(step: RunStep) -> bool:
    """Whether a step installs named or listed requirements from an index."""
    return any(each.requirements or each.values("-r", "--requirement") for each in step.installs)


def _before(survey: LintInput) -> Iterator[tuple[Image, RunStep, Instruction, tuple[CopiedPath, ...]]]:
    """Yield each COPY from the context with the first install after it in the same stage."""
    for name, image in survey.images.items():
        seen: set[int] = set()
        for step in survey.steps[name]:
            own = {id(each) for each in step.stage.stage.instructions}
            for place in step.places if _installing(step) else ():
                copy = place.copy
                if (
                    copy is not None
                    and id(copy) in own
                    and copy.line not in seen
                    and copy.flag("from") is None
                ):
                    seen.add(copy.line)
                    yield image, step, copy, tuple(each for each in step.places if each.copy is copy)


def _whole_context(survey: LintInput) -> Iterator[Hit]:
    for image, step, copy, places in _before(survey):
        if any(not place.source or place.source == "." for place in places):
            yield _too_early(
                image,
                copy,
                step,
                f"{copy.name} of the whole context comes before an install",
                hint="copy only the requirements, install, then copy the rest:\n"
                "COPY requirements.txt ./\nRUN pip install -r requirements.txt\nCOPY . .",
                fix=_moved(survey, step, copy),
            )


def _source_first(survey: LintInput) -> Iterator[Hit]:
    for image, step, copy, places in _before(survey):
        sources = [place.source for place in places]
        used = _used(step)
        plain = [each for each in sources if each and not _DEPENDENCIES.fullmatch(each.rpartition("/")[2])]
        if len(plain) == len(sources) and used.isdisjoint(sources) and _has_code(image, plain):
            files = sorted(used & {file.path for file in image.contexts[""].files})
            needed = next((path for each in plain for path in files if path.startswith(f"{each}/")), None)
            reads = f"reads only {needed}" if needed else "does not need it"
            yield _too_early(
                image,
                copy,
                step,
                f"{copy.name} {plain[0]} comes before an install that {reads}",
                hint="move it below the RUN that installs",
                fix=_moved(survey, step, copy),
            )


def _has_code(image: Image, sources: list[str]) -> bool:
    files = [each.path for each in image.contexts[""].files if each.path.endswith(".py")]
    return any(path == each or path.startswith(f"{each}/") for each in sources for path in files)


def _used(step: RunStep) -> frozenset[str]:
    """Return the paths of the context that the step's commands name."""
    words = [word.text for command in step.script.commands for word in command.words]
    found = (step.place_of(word) for word in words if "/" in word or "." in word)
    return frozenset(place.source for place in found if place is not None)


def _moved(survey: LintInput, step: RunStep, copy: Instruction) -> Fix | None:
    """Return edits that move the COPY after the install and copy only pip's input files before it.

    None unless the step only installs from an index, so that it neither reads nor writes what is moved.
    """
    stage = step.stage.stage.instructions
    between = [each for each in stage if copy.line < each.line < step.instruction.line]
    simple = all(command.top and _from_index(step, command) for command in step.script.commands)
    if not simple or step.other_shell or step.steered or not _can_pass(step, copy, between):
        return None
    listed = [
        file for each in step.installs for file in each.values("-r", "--requirement", "-c", "--constraint")
    ]
    needed: list[tuple[str, str]] = []
    for file in listed:
        place = step.place_of(file)
        if place is None or not _is_plain(survey, step, place.source):
            return None
        if place.copy is copy:
            needed.append((place.source, place.path))
    dockerfile = step.image.node.recipe.dockerfile
    text = dockerfile.text.split("\n")[copy.line - 1 : copy.end]
    lines = tuple(line.removesuffix("\r") for line in text)
    first = tuple(f"COPY {source} {path}" for source, path in dict.fromkeys(needed))
    after = step.instruction.end + 1
    return (
        Edit(file=dockerfile.path, start=copy.line, end=copy.end + 1, lines=first),
        Edit(file=dockerfile.path, start=after, end=after, lines=lines),
    )


def _can_pass(step: RunStep, copy: Instruction, between: list[Instruction]) -> bool:
    """Whether a COPY may move after the install and every instruction in between."""
    mine = _paths(step, copy)
    if any(path == "/" or path.startswith(_CONFIGURING) for path in mine):
        return False
    for each in between:
        theirs = _paths(step, each)
        if each.name not in {"LABEL", "EXPOSE"} and (each.name != "COPY" or not theirs):
            return False
        if any(
            f"{one}/".startswith(f"{two}/") or f"{two}/".startswith(f"{one}/")
            for one in mine
            for two in theirs
        ):
            return False
    return True


def _paths(step: RunStep, copy: Instruction) -> list[str]:
    return [place.path for place in step.places if place.copy is copy]


def _from_index(step: RunStep, command: object) -> bool:
    found: Install | None = next((each for each in step.installs if each.command is command), None)
    return found is not None and not found.folders and not found.values("-e", "--editable", "-t", "--target")


def _is_plain(survey: LintInput, step: RunStep, path: str) -> bool:
    """Whether a path is a requirements file that refers to no other file or folder."""
    text = survey.listings.get(step.image.name, {}).get(path)
    return text is not None and not any(_LOCAL_LINE.match(line) for line in text.splitlines())


def _unlinked(survey: LintInput) -> Iterator[Hit]:
    for image in survey.images.values():
        stages = [each.stage for each in image.node.recipe.chain]
        waiting = [each for stage in reversed(stages) for each in stage.instructions]
        while waiting:
            each = waiting.pop(0)
            runs_later = any(later.name in _PROGRAMS for later in waiting)
            is_plain = each.name == "COPY" and each.flag("link") is None and each.flag("chmod") is None
            if is_plain and not runs_later:
                resolved = next(one for one in image.node.recipe.chain if each in one.stage.instructions)
                if _can_link(survey, image, resolved, each):
                    yield _hit(
                        image,
                        each.line,
                        "COPY without --link, although --link is possible",
                        fix=(_with_link(image, each),),
                        hint="COPY --link",
                    )


def _can_link(survey: LintInput, image: Image, stage: ResolvedStage, copy: Instruction) -> bool:
    """Whether a linked layer has the same files: a plain path of the runtime, and no user name to look up."""
    target = copy.words[-1]
    owner = copy.flag("chown") or "0"
    if not survey.on_runtime(image) or not _TASK.fullmatch(target) or not re.fullmatch(r"[\d:]+", owner):
        return False
    if any(each.name == "USER" for each in stage.stage.instructions) or copy.json or copy.heredocs:
        return False
    words = [each for each in image.node.recipe.instructions if each.name == "RUN"]
    if any("ln -s" in " ".join(each.words) and TASK_ROOT in " ".join(each.words) for each in words):
        return False
    sources = copy.words[:-1]
    if target.endswith("/"):
        return True
    if len(sources) != 1 or copy.flag("from") is not None:
        return False
    if is_file(image, sources[0].removeprefix("./").strip("/")):
        return _names_file(image, sources[0], target)
    return any(_below(image, sources[0]))


def _names_file(image: Image, source: str, target: str) -> bool:
    """Whether a file gets the path of a target: one with the suffix of the source, which is not a folder."""
    suffix = _SUFFIX.search(source)
    if suffix is None or not target.endswith(suffix[0]):
        return False
    folder = target.rpartition("/")[2] + "/"
    return not any(folder in word for each in image.node.recipe.instructions for word in each.words)


def _below(image: Image, source: str) -> Iterator[bool]:
    prefix = source.removeprefix("./").strip("/") + "/"
    yield from (True for each in image.contexts[""].files if each.path.startswith(prefix))


def _with_link(image: Image, copy: Instruction) -> Edit:
    lines = image.node.recipe.dockerfile.text.split("\n")[copy.line - 1 : copy.end]
    lines = [line.removesuffix("\r") for line in lines]
    lines[0] = re.sub(r"(?i)^(\s*copy)\b", r"\1 --link", lines[0], count=1)
    return edit_of(image, copy, tuple(lines))


def _unreadable(survey: LintInput) -> Iterator[Hit]:
    for image in survey.images.values():
        for each in image.node.recipe.instructions:
            mode = each.flag("chmod") if each.name in {"COPY", "ADD"} else None
            if mode and _CHMOD.fullmatch(mode):
                yield _hit(
                    image,
                    each.line,
                    f"{each.name} --chmod={mode}: the user that Lambda runs functions as may not read it",
                    hint=f"{each.name} --chmod=644 for files, 755 for programs and folders",
                )
            elif each.name == "USER" and survey.on_runtime(image) and each.words[0] not in ROOT_USERS:
                yield _hit(
                    image,
                    each.line,
                    f"USER {each.words[0]}: Lambda runs functions as its own user regardless",
                    hint="remove it, and make every file readable by all",
                )
    for name, image in survey.images.items():
        for step in survey.steps[name]:
            for command in step.script.commands if step.in_image else ():
                texts = [word.text for word in command.words]
                modes = [word for word in texts[1:] if _CHMOD.fullmatch(word)]
                if (
                    texts[0] == "chmod"
                    and modes
                    and any(TASK_ROOT in word or "LAMBDA_TASK" in word for word in texts)
                ):
                    yield _hit(
                        image,
                        step.instruction.line,
                        f"{' '.join(texts)}: the user that Lambda runs functions as may not read it",
                        hint="chmod -R a+rX",
                    )


RULES = (
    LintRule(
        id="LAM201",
        slug="context-before-install",
        severity="warning",
        summary="COPY of the whole context before an install",
        why="an edit of any file reruns the install",
        fixes="copies pip's input files before it and the rest after it, if packages come only from an "
        "index; for uv adds a step that installs the dependencies alone",
        find=lambda survey: chain(_whole_context(survey), whole_context(survey)),
    ),
    LintRule(
        id="LAM202",
        slug="source-before-install",
        severity="warning",
        summary="source copied before an install that does not need it",
        why="an edit of the source reruns the install",
        fixes="moves it after the install, if packages come only from an index",
        find=_source_first,
    ),
    LintRule(
        id="LAM203",
        slug="no-link",
        severity="note",
        summary="COPY without `--link`, although `--link` is possible",
        why="a linked layer is kept when the base changes, and an unchanged base is not even pulled",
        fixes="adds `--link` below `/var/task` of Lambda's runtime, if no RUN follows",
        find=_unlinked,
    ),
    LintRule(
        id="LAM204",
        slug="unreadable",
        severity="warning",
        summary="files that only their owner may read, or USER",
        why="Lambda runs functions as its own user, who must be able to read every file",
        fixes="by hand",
        find=_unreadable,
    ),
)
