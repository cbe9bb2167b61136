"""Compute where files of the contexts are in the image, and so which local code its Python can import.

Only simple cases are followed: COPY and ADD, COPY from a stage, WORKDIR, ``pip install <folder>``. Where
files may appear in other ways, the layout gets a gap with the reason, and no file is certainly missing.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field, replace
from functools import cached_property

from lamina.declare.dockerfile import Instruction
from lamina.declare.expand import ExpansionError, UnknownVariableError, expand
from lamina.declare.flags import mount_options
from lamina.declare.recipe import SCRATCH, Recipe, ResolvedStage
from lamina.identify.commands import Installing, effects
from lamina.identify.copied import CopyFiles, copied
from lamina.identify.fingerprint import distribution
from lamina.identify.wheel import PYPROJECT, Dropped, Wheel, read_wheel
from lamina.patterns import regex
from lamina.values import dataclass

TASK_ROOT = "/var/task"
SITE = "/site-packages"
"""A virtual folder for installed local packages, since the real one differs between images."""
_AMBIENT: Mapping[str, str | None] = {"LAMBDA_TASK_ROOT": TASK_ROOT, "LAMBDA_RUNTIME_DIR": "/var/runtime"}
_ARCHIVE = regex(r"\.(?:tar|tgz|tbz2?|txz|zip|whl|tar\.\w+)$|://|^[A-Za-z0-9_-]+@[A-Za-z0-9.-]+:")
_CODE = (TASK_ROOT, "/opt/python", "/var/runtime")
"""Where Lambda functions and layers have their code."""
_KNOWN = regex(
    r"public\.ecr\.aws/lambda/[\w-]+|(?:docker\.io/)?amazon/aws-lambda-\w+"
    r"|(?:public\.ecr\.aws/docker/library/|(?:docker\.io/)?(?:library/)?)"
    r"(?:python|debian|ubuntu|alpine|amazonlinux|fedora|busybox|rockylinux|almalinux)"
    r"|public\.ecr\.aws/amazonlinux/amazonlinux|ghcr\.io/astral-sh/uv"
)
"""External images that are known to contain no code of the user."""
_RUNTIME = regex(r"(?:^|/)lambda/python$|(?:^|/)aws-lambda-python$")
_LISTS = regex(r"\b(?:uv|poetry|pdm|pipenv)\s+(?:export|requirements)\b|\btomllib\b")
"""Steps that write a requirements file."""
_LOCAL_LINE = regex(r"(?:-e|--editable|-r|--requirement|-c|--constraint)\b|\.{0,2}/|file:|.*@\s*file:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A way in which files may get into the image unseen."""

    by: str
    """The cause, as messages state it."""
    text: str = ""
    """The instruction or command as it is written."""
    whole: bool = False
    """Whether it is a base of the project as it was built before, which has whatever its images import."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A local project that a step installs. place: the origin of its folder."""

    place: str
    with_requirements: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The files of an image: image path -> origin, the absolute path of a file of the repository.

    Attributes:
        paths: Further folders in which Python looks for modules.
        required: Normalised names of the distributions that steps install.
        dropped: Origins that installed wheels leave out.
        on_runtime: Whether the image builds FROM Lambda's own runtime.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    workdir: str = TASK_ROOT
    gaps: tuple[Gap, ...] = ()
    paths: tuple[str, ...] = ()
    installed: tuple[Installed, ...] = ()
    required: frozenset[str] = frozenset()
    dropped: Mapping[str, Dropped] = field(default_factory=dict)
    on_runtime: bool = False

    def has_folder(self, place: str) -> bool:
        """Whether an image path is certainly a folder."""
        below = f"{place.rstrip('/')}/"
        folders = (f"{self.workdir}/", f"{TASK_ROOT}/")
        return any(each.startswith(below) for each in (*folders, *self.files))

    def below(self, folder: str) -> dict[str, str]:
        """Return the files below an image path: relative path -> origin."""
        prefix = folder.rstrip("/") + "/"
        start = len(prefix)
        return {place[start:]: origin for place, origin in self.files.items() if place.startswith(prefix)}

    def with_gap(self, by: str, text: str = "", *, whole: bool = False) -> Layout:
        """Return the layout with another gap."""
        return replace(self, gaps=(*self.gaps, Gap(by=by, text=text, whole=whole)))

    def may_hold_code(self, place: str) -> bool:
        """Whether the function may import a file at an image path."""
        roots = (self.workdir, *self.paths, *_CODE)
        return "-packages" in place or any(
            f"{root}/".startswith(f"{place.rstrip('/')}/") or place.startswith(f"{root}/") for root in roots
        )


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The inputs of an image's layout.

    Attributes:
        contexts: Name -> path in the context -> origin; the main context is "".
        parents: Name in FROM -> the base's layout.
        read: Origin -> text.
        requirements: Origin of a requirements file -> its lines.
        wheels: Files of a project -> its wheel; shared by images, as projects are.
    """

    contexts: Mapping[str, Mapping[str, str]]
    parents: Mapping[str, Layout]
    read: Callable[[str], str | None]
    requirements: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    wheels: dict[tuple[tuple[str, str], ...], Wheel] = field(default_factory=dict)

    @cached_property
    def copied(self) -> CopyFiles:
        """The files of the main context, for COPY."""
        return CopyFiles(self.contexts[""])

    def wheel(self, files: Mapping[str, str]) -> Wheel:
        """Return the wheel of a project. files: path in the project -> origin."""
        key = tuple(files.items())
        if key not in self.wheels:
            self.wheels[key] = read_wheel(files, self.read)
        return self.wheels[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLayouts:
    """The layouts of an image's stages. runs: stage and line of a RUN -> what it sees, with its mounts."""

    stages: Mapping[int, Layout]
    runs: Mapping[tuple[int, int], Layout]

    @property
    def final(self) -> Layout:
        """The layout of the image itself, whose stage is the last one."""
        return self.stages[max(self.stages)]


def lay_out(recipe: Recipe, sources: Sources) -> StageLayouts:
    """Compute the layouts of an image."""
    stages: dict[int, Layout] = {}
    runs: dict[tuple[int, int], Layout] = {}
    for stage in recipe.stages:
        stages[stage.stage.index] = _Stage(recipe, stage, sources, stages, runs).run()
    return StageLayouts(stages=stages, runs=runs)


class _Stage:
    """Applies the instructions of one stage to a layout."""

    def __init__(
        self,
        recipe: Recipe,
        stage: ResolvedStage,
        sources: Sources,
        stages: Mapping[int, Layout],
        runs: dict[tuple[int, int], Layout],
    ) -> None:
        self._runs = runs
        self._recipe = recipe
        self._stage = stage
        self._sources = sources
        self._stages = stages
        self._scope: dict[str, str | None] = {**_AMBIENT, **dict(stage.args)}
        self._lists_requirements = False

    def run(self) -> Layout:
        layout = self._start()
        for instruction in self._stage.stage.instructions:
            try:
                layout = self._next(layout, instruction)
            except (UnknownVariableError, ExpansionError):
                layout = layout.with_gap(f"{self._where(instruction)} has a variable that is not known")
        return layout

    def _start(self) -> Layout:
        base = self._stage.base
        if (below := self._recipe.dockerfile.stage(base)) and below.index in self._stages:
            return self._stages[below.index]
        return self._from(base, self._stage.stage.line)

    def _from(self, name: str, line: int) -> Layout:
        """Return the layout of an image or named context, which is not a stage of the Dockerfile."""
        if name in self._sources.parents:
            return self._sources.parents[name]
        if name in self._sources.contexts and name:
            return Layout(files=_rooted(self._sources.contexts[name]))
        image = name.partition("@")[0]
        repository = image.rpartition(":")[0] if ":" in image.rpartition("/")[2] else image
        layout = Layout(on_runtime=_RUNTIME.search(repository) is not None)
        if name == SCRATCH or _KNOWN.fullmatch(repository):
            return layout
        return layout.with_gap(f"{name} ({self._recipe.dockerfile.where(line)}) contains it")

    def _next(self, layout: Layout, instruction: Instruction) -> Layout:
        match instruction.name:
            case "WORKDIR":
                word = expand(instruction.words[0], self._scope)
                return replace(layout, workdir=posixpath.normpath(posixpath.join(layout.workdir, word)))
            case "COPY" | "ADD":
                return self._copy(layout, instruction)
            case "RUN":
                return self._ran(layout, instruction)
            case "ENV":
                return self._environment(layout, instruction)
        return layout

    def _environment(self, layout: Layout, instruction: Instruction) -> Layout:
        pairs = dict(zip(instruction.words[::2], instruction.words[1::2], strict=False))
        for name, value in pairs.items():
            if name == "PYTHONPATH":
                words = re.sub(r"\$\{?PYTHONPATH(?::-[^}]*)?\}?", "", value)
                paths = (expand(each, self._scope) for each in words.split(":") if each)
                layout = replace(layout, paths=(*layout.paths, *map(posixpath.normpath, paths)))
            else:
                try:
                    self._scope[name] = expand(value, self._scope)
                except (UnknownVariableError, ExpansionError):
                    self._scope.pop(name, None)
        return layout

    def _copy(self, layout: Layout, instruction: Instruction) -> Layout:
        """Return the layout after a COPY from a context, a stage or an image."""
        words = tuple(expand(word, self._scope) for word in instruction.words)
        *sources, target = words
        name = instruction.flag("from")
        if name is None:
            origin, files = Layout(), self._sources.copied
        else:
            name = expand(name, self._scope)
            stage = self._recipe.dockerfile.stage(name)
            known = self._stages.get(stage.index) if stage else None
            origin = known if known is not None else self._from(name, instruction.line)
            files = CopyFiles(origin.files)
        place = posixpath.normpath(posixpath.join(layout.workdir, target))
        found = dict(copied(instruction, words, files, place, is_folder=layout.has_folder))
        layout = replace(
            layout,
            files={**layout.files, **found},
            dropped={**layout.dropped, **origin.dropped},
            installed=(*layout.installed, *origin.installed),
            required=layout.required | origin.required,
        )
        if layout.may_hold_code(place):
            text = " ".join(words)
            gaps = tuple(replace(each, text=f"{each.text} {text}") for each in origin.gaps)
            layout = replace(layout, gaps=(*layout.gaps, *gaps))
            if any(each.startswith("<<") or _ARCHIVE.search(each) for each in sources):
                return layout.with_gap(f"{self._where(instruction)} adds it", " ".join(words))
        return layout

    def _ran(self, layout: Layout, instruction: Instruction) -> Layout:
        mounted = dict(self._mounted(layout, instruction))
        view = replace(layout, files={**layout.files, **mounted}) if mounted else layout
        self._runs[self._stage.stage.index, instruction.line] = view
        found = effects(
            self._recipe.dockerfile,
            instruction,
            workdir=layout.workdir,
            scope=self._scope,
            is_code=layout.may_hold_code,
        )
        self._lists_requirements |= _LISTS.search(" ".join(_texts(instruction))) is not None
        for effect in found:
            if isinstance(effect, Installing):
                layout = self._installed(layout, view, effect, instruction)
            else:
                layout = layout.with_gap(f"{self._where(instruction)} puts it there", effect.text)
        return layout

    def _mounted(self, layout: Layout, instruction: Instruction) -> Iterator[tuple[str, str]]:
        """Yield the files that bind mounts show to a RUN: image path and origin."""
        for flag in instruction.flags_of("mount"):
            options = dict(mount_options(flag))
            target = options.get("target", options.get("dst", options.get("destination")))
            if options.get("type", "bind").lower() != "bind" or not target:
                continue
            stage = self._recipe.dockerfile.stage(options["from"]) if "from" in options else None
            held = self._stages.get(stage.index, Layout()).files if stage else {}
            files = held if "from" in options else _rooted(self._sources.contexts[""])
            place = posixpath.normpath(posixpath.join(layout.workdir, expand(target, self._scope)))
            source = posixpath.normpath("/" + options.get("source", options.get("src", "")).lstrip("/"))
            for path, origin in files.items():
                if path == source:
                    yield place, origin
                elif path.startswith(source.rstrip("/") + "/"):
                    yield place.rstrip("/") + path[len(source.rstrip("/")) :], origin

    def _installed(
        self, layout: Layout, view: Layout, effect: Installing, instruction: Instruction
    ) -> Layout:
        """Return the layout after a ``pip install``: packages of local folders, and names of all others."""
        call = effect.call
        targets = call.values("-t", "--target")
        site = self._path(effect.folder, targets[-1]) if targets else SITE
        names = {distribution(word.text) for word in call.requirements if word.text[:1].isalnum()}
        for listed in call.values("-r", "--requirement"):
            lines = self._requirements(view, self._path(effect.folder, listed))
            if lines is None or any(_LOCAL_LINE.match(line) for line in lines):
                layout = layout.with_gap(f"{self._where(instruction)} installs it by {listed}", listed)
            names |= {distribution(line) for line in lines or ()}
        layout = replace(layout, required=layout.required | names)
        bare = bool(call.flags("--no-deps"))
        editable = call.values("-e", "--editable")
        for written in (*(word.text for word in call.folders), *editable):
            folder = self._path(effect.folder, written.partition("[")[0])
            files = view.below(folder)
            if not files:
                layout = layout.with_gap(f"{self._where(instruction)} installs it with {written}", written)
                continue
            wheel = self._sources.wheel(files)
            own = posixpath.dirname(files[PYPROJECT]) if PYPROJECT in files else None
            dropped = {} if written in editable else wheel.dropped
            kept = {f"{site}/{rest}": origin for rest, origin in wheel.files.items()}
            layout = replace(
                layout,
                files={**kept, **layout.files} if site == SITE else {**layout.files, **kept},
                dropped={**layout.dropped, **dropped},
                installed=(
                    *layout.installed,
                    *([Installed(place=own, with_requirements=not bare)] if own else []),
                ),
            )
        return layout

    def _requirements(self, view: Layout, file: str) -> tuple[str, ...] | None:
        """Return the lines of a requirements file; None if they are unknown."""
        origin = view.files.get(file)
        if origin is None:
            return () if self._lists_requirements else None
        if origin not in self._sources.requirements:
            return None
        text = self._sources.read(origin) or "" if not origin.endswith(PYPROJECT) else ""
        local = (line.strip() for line in text.splitlines() if _LOCAL_LINE.match(line.strip()))
        return (*self._sources.requirements[origin], *local)

    def _path(self, folder: str, written: str) -> str:
        return posixpath.normpath(posixpath.join(folder, expand(written, self._scope)))

    def _where(self, instruction: Instruction) -> str:
        return f"{instruction.name} in {self._recipe.dockerfile.where(instruction.line)}"


def _rooted(files: Mapping[str, str]) -> Mapping[str, str]:
    return {f"/{path}": origin for path, origin in files.items()}


def _texts(instruction: Instruction) -> Iterable[str]:
    return (*instruction.words, *(each.content for each in instruction.heredocs))
