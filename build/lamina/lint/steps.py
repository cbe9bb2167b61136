"""The RUN steps of an image, in order, and the paths of the context that they see."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from lamina.declare.dockerfile import Instruction
from lamina.declare.expand import ExpansionError, UnknownVariableError, expand
from lamina.declare.flags import mount_options
from lamina.declare.pip import Install, read_install
from lamina.declare.project_tools import ToolInstall, read_tool_install
from lamina.declare.recipe import ResolvedStage
from lamina.declare.script import Replacement, Script, read_argv, read_script
from lamina.identify.image import Image
from lamina.identify.layout import TASK_ROOT
from lamina.identify.wildcard import is_wildcard
from lamina.lint.findings import Edit, Fix, Hit

_AMBIENT: Mapping[str, str | None] = {"LAMBDA_TASK_ROOT": TASK_ROOT}
_STEERING = frozenset({"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_CONSTRAINT", "PIP_CONFIG_FILE"})
ROOT_USERS = frozenset({"root", "0", "root:root", "0:0"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedPath:
    """A path of the image that a COPY or a bind mount provides. source: its path in the context."""

    path: str
    source: str
    copy: Instruction | None
    """None for a mount."""
    alone: bool
    """Whether the COPY has no other source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStep:
    """A RUN and its installs.

    Attributes:
        installs: by pip.
        tools: installs by other tools.
        places: copied and mounted paths, the last one first.
        root: whether root runs it.
        environment: the variables set by ENV so far, as written.
    """

    image: Image
    stage: ResolvedStage
    instruction: Instruction
    script: Script
    installs: tuple[Install, ...]
    tools: tuple[ToolInstall, ...]
    places: tuple[CopiedPath, ...]
    workdir: str
    root: bool
    other_shell: bool
    """Whether SHELL sets another shell."""
    environment: Mapping[str, str]

    @property
    def steered(self) -> bool:
        """Whether ENV sets pip's target, its constraints or its configuration file."""
        return not _STEERING.isdisjoint(self.environment)

    @property
    def in_image(self) -> bool:
        """Whether the step is part of the image itself, rather than of a stage that is copied from."""
        return self.stage.stage.index in {each.stage.index for each in self.image.node.recipe.chain}

    def place_of(self, written: str) -> CopiedPath | None:
        """Return what a COPY or mount provides at a path that a command names, or at a folder above it."""
        path = self._path(written)
        for each in self.places:
            if path is not None and path == each.path:
                return each
            if path is not None and path.startswith(each.path.rstrip("/") + "/"):
                source = posixpath.join(each.source, path[len(each.path.rstrip("/")) + 1 :])
                return replace(each, path=path, source=source, alone=False)
        return None

    def _path(self, written: str) -> str | None:
        moved = any(command.words[0].text in {"cd", "pushd"} for command in self.script.commands)
        if moved and not written.startswith(("/", "$")):
            return None
        try:
            word = expand(written.partition("[")[0], {**_AMBIENT, **dict(self.stage.args)})
        except (UnknownVariableError, ExpansionError):
            return None
        return posixpath.normpath(posixpath.join(self.workdir, word))

    def edit(self, replacements: list[Replacement]) -> Edit:
        """Return the edit of the file, without unchanged lines at the start and the end."""
        return edit_of(self.image, self.instruction, self.script.edited(replacements))


def hit(
    step: RunStep, at: int | None = None, *, message: str, fix: Fix | None = None, hint: str | None = None
) -> Hit:
    """Return a hit in a step. at: the offset of the fault in its script, for the line number."""
    line = step.instruction.line
    if at is not None and step.script.editable:
        line += step.script.text.count("\n", 0, at)
    file = step.image.node.recipe.dockerfile.path
    return Hit(image=step.image.name, file=file, line=line, message=message, fix=fix, hint=hint, step=True)


def edit_of(image: Image, instruction: Instruction, lines: tuple[str, ...]) -> Edit:
    """Return the edit that replaces the lines of an instruction."""
    dockerfile = image.node.recipe.dockerfile
    old = [each.removesuffix("\r") for each in dockerfile.text.split("\n")]
    start, end, new = instruction.line, instruction.end + 1, list(lines)
    while new and start < end and new[0] == old[start - 1]:
        start += 1
        del new[0]
    while new and start < end and new[-1] == old[end - 2]:
        end -= 1
        del new[-1]
    return Edit(file=dockerfile.path, start=start, end=end, lines=tuple(new))


def steps(image: Image) -> Iterator[RunStep]:
    """Yield every RUN of the stages in use."""
    reached: dict[int, RunStep | None] = {}
    for stage in image.node.recipe.stages:
        below = image.node.recipe.dockerfile.stage(stage.base)
        state = reached.get(below.index) if below is not None else None
        for instruction in stage.stage.instructions:
            state = _next(image, stage, instruction, state)
            if instruction.name == "RUN":
                yield state
        reached[stage.stage.index] = state


def _next(image: Image, stage: ResolvedStage, instruction: Instruction, before: RunStep | None) -> RunStep:
    """Return the state after an instruction."""
    state = before or RunStep(
        image=image,
        stage=stage,
        instruction=instruction,
        script=Script(text="", start=0, commands=(), editable=False),
        installs=(),
        tools=(),
        places=(),
        workdir=TASK_ROOT,
        root=True,
        other_shell=False,
        environment={},
    )
    state = replace(state, stage=stage, instruction=instruction)
    match instruction.name:
        case "WORKDIR":
            return replace(state, workdir=state._path(instruction.words[0]) or state.workdir)
        case "USER":
            return replace(state, root=instruction.words[0] in ROOT_USERS)
        case "SHELL":
            return replace(state, other_shell=True)
        case "ENV":
            pairs = zip(instruction.words[::2], instruction.words[1::2], strict=True)
            return replace(state, environment={**state.environment, **dict(pairs)})
        case "COPY" | "ADD":
            return replace(state, places=(*reversed(list(_copied(state))), *state.places))
        case "RUN":
            script = read_argv(instruction) or read_script(image.node.recipe.dockerfile, instruction)
            found = (read_install(each) for each in script.commands)
            own = [each for each in state.places if each.copy is not None]
            return replace(
                state,
                script=script,
                installs=tuple(each for each in found if each is not None),
                tools=tuple(filter(None, map(read_tool_install, script.commands))),
                places=(*_mounted(state), *own),
            )
    return state


def _copied(state: RunStep) -> Iterator[CopiedPath]:
    instruction = state.instruction
    words = [word for word in instruction.words if not word.startswith("<<")]
    if instruction.flag("from") is not None or len(words) < 2:
        return
    target = state._path(words[-1])
    for word in words[:-1]:
        source = None if is_wildcard(word) else state._path(f"/{word}")
        if target is None or source is None:
            continue
        source, place = source.lstrip("/"), target
        into = words[-1].endswith("/") or words[-1] in {".", "./"} or len(words) > 2
        if into and is_file(state.image, source):
            place = posixpath.join(target, posixpath.basename(source))
        yield CopiedPath(path=place, source=source, copy=instruction, alone=len(words) == 2)


def _mounted(state: RunStep) -> Iterator[CopiedPath]:
    for flag in state.instruction.flags_of("mount"):
        options = dict(mount_options(flag))
        target = options.get("target", options.get("dst", options.get("destination")))
        if options.get("type", "bind").lower() == "bind" and "from" not in options and target:
            path = state._path(target)
            source = posixpath.normpath("/" + options.get("source", options.get("src", ""))).lstrip("/")
            if path is not None:
                yield CopiedPath(path=path, source=source, copy=None, alone=True)


def is_file(image: Image, path: str) -> bool:
    """Whether a path of the context is a file."""
    return any(each.path == path and each.kind != "dir" for each in image.contexts[""].files)
