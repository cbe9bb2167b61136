"""An image as the rules see it: its stages, what each RUN sees, what Lambda starts."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from functools import cached_property

from lamina.declare.dockerfile import Instruction
from lamina.declare.expand import ExpansionError, UnknownVariableError, expand
from lamina.declare.pip import Install, read_install, read_uv_install
from lamina.declare.recipe import ResolvedStage
from lamina.declare.script import ShellCommand, read_script
from lamina.errors import Certainty
from lamina.identify.context import ContextFile
from lamina.identify.image import Image
from lamina.identify.layout import Layout, StageLayouts
from lamina.identify.reach import ReachedModule
from lamina.identify.reached import Parse
from lamina.identify.readings import Readings
from lamina.identify.runnable import Runnable
from lamina.patterns import regex
from lamina.preflight.bases import Base, read_base
from lamina.preflight.fault import Fault, Rule
from lamina.values import dataclass

_LEADS = frozenset({"then", "else", "do", "exec", "sudo", "time", "!", "{"})
_ASSIGNMENT = regex(r"[A-Za-z_]\w*=")
_AMBIENT: Mapping[str, str | None] = {"LAMBDA_TASK_ROOT": "/var/task", "LAMBDA_RUNTIME_DIR": "/var/runtime"}
_BUNDLE = regex(r"[\s=]/assets?(?:/|\s|$)")
"""The folder of images that only make a zip file: CDK's ``Code.fromDockerBuild`` copies it out of them."""
CLIENT = regex(r"awslambdaric|aws-lambda-ric|lambda-entrypoint|/var/runtime/|aws-lambda-rie|bootstrap")
"""Texts of programs that speak Lambda's runtime API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable set by ENV. value: None if it uses unknown ones. written: as in the Dockerfile."""

    value: str | None
    written: str
    line: int
    file: str


@dataclass(frozen=True, kw_only=True)
class RunView:
    """A RUN.

    Attributes:
        stage: The index of its stage.
        base: The image at the bottom of its stage.
        sees: The files before it, with its mounts.
        variables: Those set by ENV before it.
        before: The text of all instructions before it, of its stage and those below.
        in_image: Whether it is part of the image itself rather than of a stage that is copied from.
        as_root: Whether no USER is set.
    """

    stage: int
    instruction: Instruction
    commands: tuple[ShellCommand, ...]
    base: Base
    sees: Layout
    variables: Mapping[str, Variable]
    scope: Mapping[str, str | None]
    before: str
    in_image: bool
    as_root: bool

    @property
    def text(self) -> str:
        """The words and heredocs."""
        return text_of(self.instruction)

    @cached_property
    def installs(self) -> tuple[tuple[Install, str, bool], ...]:
        """The calls of pip and ``uv pip``, their folders, and whether they surely run."""
        found: list[tuple[Install, str, bool]] = []
        folder = self.sees.workdir
        for command in self.commands:
            words = [word.text for word in command.words]
            if words[0] in {"cd", "pushd"} and len(words) > 1:
                folder = self.path(words[1], folder) or "$"
            call = read_install(command) or read_uv_install(command)
            if call is not None:
                found.append((call, folder, is_sure(command, self)))
        return tuple(found)

    def path(self, written: str, folder: str = "") -> str | None:
        """Return the image path of a word; None if it uses unknown variables."""
        try:
            word = expand(written, self.scope)
        except (UnknownVariableError, ExpansionError):
            return None
        return posixpath.normpath(posixpath.join(folder or self.sees.workdir, word))

    def set(self, name: str) -> str | None:
        """Return the value of a variable, set by ENV or in the script; None if it is not set."""
        found = self.variables.get(name)
        written = re.search(rf"(?:^|[\s;&]){name}=(\S*)", self.text)
        if written or found is None:
            return written[1] if written else None
        return found.written if found.value is None else found.value


@dataclass(frozen=True, slots=True, kw_only=True)
class StageView:
    """The state of a stage at its end."""

    stage: ResolvedStage
    base: Base
    layout: Layout
    variables: Mapping[str, Variable]
    scope: Mapping[str, str | None]
    text: str
    as_root: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """An ENTRYPOINT or CMD and its Dockerfile."""

    instruction: Instruction
    file: str


@dataclass(frozen=True, kw_only=True)
class ImageView:
    """An image and everything that rules ask about it.

    Attributes:
        reached: The modules that its functions import, by image path.
        parse: Returns them with some parsed; None if there are none.
        lost: Top-level names of local modules that it lacks.
        parent: Its base image in the project.
        readings: Reads the disk.
    """

    image: Image
    reached: Mapping[str, ReachedModule]
    parse: Parse | None
    lost: frozenset[str]
    parent: ImageView | None
    stages: Mapping[int, StageView]
    runs: tuple[RunView, ...]
    entrypoint: Start | None
    command: Start | None
    readings: Readings

    @property
    def name(self) -> str:
        """The image's name."""
        return self.image.name

    @property
    def file(self) -> str:
        """Its Dockerfile, for messages."""
        return self.image.node.recipe.dockerfile.path

    @property
    def final(self) -> StageView:
        """The stage that becomes the image."""
        return self.stages[max(self.stages)]

    @property
    def layout(self) -> Layout:
        """The files of the image."""
        return self.final.layout

    @property
    def base(self) -> Base:
        """The image at the bottom."""
        return self.final.base

    @cached_property
    def text(self) -> str:
        """The instructions of all stages."""
        return "\n".join(each.text for each in self.stages.values())

    @cached_property
    def starts_client(self) -> bool:
        """Whether its entrypoint is Lambda's own or starts a runtime interface client."""
        if self.entrypoint is None:
            return self.base.language is not None
        return CLIENT.search(" ".join(self.entrypoint.instruction.words)) is not None

    @cached_property
    def has_adapter(self) -> bool:
        """Whether it has a web adapter or another extension that may speak the runtime API."""
        return "/opt/extensions" in self.text or "lambda-adapter" in self.text

    @cached_property
    def is_lambda(self) -> bool:
        """Whether Lambda runs it: by its base, its entrypoint, its functions or an adapter."""
        functions = bool(self.image.node.spec.functions)
        if self.image.node.kind != "lambda" or (_BUNDLE.search(self.final.text) and not functions):
            return False
        runs_client = self.base.language is not None or (self.entrypoint is not None and self.starts_client)
        return runs_client or functions or self.has_adapter

    @cached_property
    def kinds(self) -> Mapping[str, ContextFile]:
        """Origin -> the file of a context, of the image and those below."""
        own = {
            f"{self.image.root(name)}/{each.path}": each
            for name, context in self.image.contexts.items()
            for each in context.files
        }
        return {**(self.parent.kinds if self.parent else {}), **own}

    def content(self, origin: str) -> bytes | None:
        """Return the beginning of a file of the context, as the build gets it; None if it cannot be read."""
        found = self.readings.beginning(origin)
        excerpt = self._excerpts.get(origin)
        return found if found is None or excerpt is None else excerpt(found)

    @cached_property
    def _excerpts(self) -> Mapping[str, Callable[[bytes], bytes]]:
        files = self.image.contexts[""].files
        return {f"{self.image.root('')}/{each.path}": each.excerpt for each in files if each.excerpt}

    def shown(self, origin: str) -> str:
        """Return an absolute path relative to the project."""
        return self.image.project_path_of(origin)

    def fault(
        self,
        rule: Rule,
        *,
        message: str,
        hint: str | None,
        unless: str | None,
        file: str | None = None,
        line: int = 1,
        certainty: Certainty = "certain",
    ) -> Fault:
        """Return a fault of this image. file: relative to the project; the Dockerfile by default."""
        return Fault(
            rule=rule.id,
            image=self.name,
            file=file or self.file,
            line=line,
            message=message,
            hint=hint,
            certainty=certainty,
            unless=unless,
        )


def text_of(instruction: Instruction) -> str:
    """Return the flags, words and heredocs of an instruction."""
    bodies = (each.content for each in instruction.heredocs)
    return " ".join((instruction.name, *instruction.flags, *instruction.words, *bodies))


def words_of(command: ShellCommand) -> list[str]:
    """Return the words of a command from its program on."""
    words = [word.text for word in command.words]
    while words and (words[0] in _LEADS or _ASSIGNMENT.match(words[0])):
        del words[0]
    return words


def is_sure(command: ShellCommand, step: RunView) -> bool:
    """Whether a command always runs and its failure fails the build."""
    stops = command.after in {"", "&&"} or re.search(r"\bset\s+-\w*e", step.text) is not None
    return command.top and stops and not (step.instruction.heredocs and "set -e" not in step.text)


def line_of(step: RunView, command: ShellCommand, dockerfile_text: str) -> int:
    """Return the line of a command in its Dockerfile."""
    if step.instruction.heredocs or step.instruction.json:
        return step.instruction.line
    lines = dockerfile_text.split("\n")[step.instruction.line - 1 : step.instruction.end]
    return step.instruction.line + "\n".join(lines).count("\n", 0, command.start)


def view_images(
    images: Mapping[str, Image],
    layouts: Mapping[str, StageLayouts],
    found: Mapping[str, Runnable],
    readings: Readings,
) -> Mapping[str, ImageView]:
    """Return the views of images, bases first. found: of those whose functions were checked."""
    views: dict[str, ImageView] = {}
    for name, image in images.items():
        views[name] = _view(image, layouts[name], found.get(name), views, readings)
    return views


def _view(
    image: Image,
    layouts: StageLayouts,
    found: Runnable | None,
    views: Mapping[str, ImageView],
    readings: Readings,
) -> ImageView:
    builder = _Builder(image, layouts, {each: views[each] for each in image.node.parents if each in views})
    for stage in image.node.recipe.stages:
        builder.read(stage)
    below = builder.parent_of(image.node.recipe.chain[-1].base)
    return ImageView(
        image=image,
        reached=found.reached if found else {},
        parse=found.parse if found else None,
        lost=frozenset(each.missing.partition(".")[0] for each in found.imports) if found else frozenset(),
        parent=below,
        stages=builder.stages,
        runs=tuple(builder.runs),
        entrypoint=_last(image, "ENTRYPOINT") or (below.entrypoint if below else None),
        command=_last(image, "CMD") or (below.command if below else None),
        readings=readings,
    )


def _last(image: Image, name: str) -> Start | None:
    recipe = image.node.recipe
    found = next((each for each in reversed(recipe.instructions) if each.name == name), None)
    return Start(instruction=found, file=recipe.dockerfile.path) if found else None


class _Builder:
    def __init__(self, image: Image, layouts: StageLayouts, parents: Mapping[str, ImageView]) -> None:
        self._image = image
        self._layouts = layouts
        self._parents = parents
        self._own = {each.stage.index for each in image.node.recipe.chain}
        self.stages: dict[int, StageView] = {}
        self.runs: list[RunView] = []

    def parent_of(self, name: str) -> ImageView | None:
        """Return the image of the project that a FROM names."""
        names = self._image.node.parents.items()
        return next((self._parents.get(parent) for parent, called in names if name in called), None)

    def read(self, stage: ResolvedStage) -> None:
        below = self._below(stage)
        variables = dict(below.variables) if below else {}
        scope = {**(below.scope if below else _AMBIENT), **dict(stage.args)}
        texts = [below.text] if below else []
        as_root = below.as_root if below else True
        base = below.base if below else read_base(stage.base)
        dockerfile = self._image.node.recipe.dockerfile
        for each in stage.stage.instructions:
            if each.name == "ENV":
                for name, value in zip(each.words[::2], each.words[1::2], strict=False):
                    known = _expanded(value, scope)
                    scope[name] = known
                    variables[name] = Variable(
                        value=known, written=value, line=each.line, file=dockerfile.path
                    )
                    if known is None:
                        del scope[name]
            elif each.name == "USER":
                as_root = each.words[0].partition(":")[0] in {"root", "0"}
            elif each.name == "RUN":
                self.runs.append(
                    RunView(
                        stage=stage.stage.index,
                        instruction=each,
                        commands=read_script(dockerfile, each).commands,
                        base=base,
                        sees=self._layouts.runs.get((stage.stage.index, each.line), Layout()),
                        variables=dict(variables),
                        scope=dict(scope),
                        before="\n".join(texts),
                        in_image=stage.stage.index in self._own,
                        as_root=as_root,
                    )
                )
            texts.append(text_of(each))
        self.stages[stage.stage.index] = StageView(
            stage=stage,
            base=base,
            layout=self._layouts.stages[stage.stage.index],
            variables=variables,
            scope=scope,
            text="\n".join(texts),
            as_root=as_root,
        )

    def _below(self, stage: ResolvedStage) -> StageView | None:
        """Return the stage or image of the project that a stage is FROM."""
        earlier = self._image.node.recipe.dockerfile.stage(stage.base)
        if earlier is not None and earlier.index < stage.stage.index:
            return self.stages.get(earlier.index)
        parent = self.parent_of(stage.base)
        return parent.final if parent else None


def _expanded(value: str, scope: Mapping[str, str | None]) -> str | None:
    try:
        return expand(value, scope)
    except (UnknownVariableError, ExpansionError):
        return None
