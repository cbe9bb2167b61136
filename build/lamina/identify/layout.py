"""Where the files of a context end up in the image: what its Python can import of the repository.

Only what is plain is followed: COPY and ADD, COPY from a stage, WORKDIR, ``pip install <folder>``. Where a
destination cannot be known the layout says so, and nothing is concluded from what it lacks.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from lamina.declare.dockerfile import Instruction
from lamina.declare.expand import ExpansionError, UnknownVariableError, expand
from lamina.declare.recipe import Recipe, ResolvedStage
from lamina.identify.wildcard import compile_wildcard, is_wildcard

TASK_ROOT = "/var/task"
SITE = "/site-packages"
"""Where installed first-party packages are put: a folder of ours, for the place differs between images."""
_AMBIENT: Mapping[str, str | None] = {"LAMBDA_TASK_ROOT": TASK_ROOT}
_INSTALL = re.compile(r"\bpip3?\s+install\b")
_SEPARATORS = re.compile(r"&&|\|\||;|\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Image path -> path in the main context. complete: whether all files are accounted for."""

    files: Mapping[str, str] = field(default_factory=dict)
    workdir: str = TASK_ROOT
    complete: bool = True

    def below(self, folder: str) -> Iterator[tuple[str, str]]:
        """The files at or below an image path: the path relative to it, and the path in the context."""
        prefix = folder.rstrip("/") + "/"
        for place, origin in self.files.items():
            if place == folder:
                yield "", origin
            elif place.startswith(prefix):
                yield place.removeprefix(prefix), origin


def lay_out(recipe: Recipe, paths: tuple[str, ...], parents: Mapping[str, Layout]) -> Layout:
    """The layout of an image. paths: the files of its context. parents: FROM name -> the base's layout."""
    stages: dict[int, Layout] = {}
    for stage in recipe.stages:
        below = recipe.dockerfile.stage(stage.base)
        start = stages.get(below.index, Layout()) if below else parents.get(stage.base, Layout())
        stages[stage.stage.index] = _stage(recipe, stage, paths, start, stages)
    return stages[recipe.stages[-1].stage.index]


def _stage(
    recipe: Recipe,
    stage: ResolvedStage,
    paths: tuple[str, ...],
    layout: Layout,
    stages: Mapping[int, Layout],
) -> Layout:
    scope = {**_AMBIENT, **dict(stage.args)}
    for instruction in stage.stage.instructions:
        try:
            if instruction.name == "WORKDIR":
                word = expand(instruction.words[0], scope)
                layout = replace(layout, workdir=posixpath.join(layout.workdir, word))
            elif instruction.name in {"COPY", "ADD"}:
                words = tuple(expand(word, scope) for word in instruction.words)
                origin = instruction.flag("from")
                source = recipe.dockerfile.stage(origin) if origin is not None else None
                if origin is None:
                    found = dict(_copied(instruction, words, paths, layout.workdir))
                elif source is not None and source.index in stages:
                    found = dict(_moved(words, stages[source.index], layout.workdir))
                else:
                    continue
                layout = replace(layout, files={**layout.files, **found})
            elif instruction.name == "RUN":
                layout = replace(layout, files={**layout.files, **dict(_installed(instruction, layout))})
        except (UnknownVariableError, ExpansionError):
            layout = replace(layout, complete=False)
    return layout


def _copied(
    instruction: Instruction, words: tuple[str, ...], paths: tuple[str, ...], workdir: str
) -> Iterator[tuple[str, str]]:
    """What a COPY from the context puts where."""
    *sources, target = words
    sources = [
        posixpath.normpath("/" + source).lstrip("/") for source in sources if not source.startswith("<<")
    ]
    place = posixpath.join(workdir, target)
    keep = instruction.flag("parents") in {"", "true"}
    into = target.endswith("/") or target in {".", "./"} or len(sources) > 1
    place = posixpath.normpath(place)
    folder = place.rstrip("/") + "/"
    for source in sources:
        wild = compile_wildcard(source, deep=keep) if is_wildcard(source) else None
        below = f"{source}/" if source else ""
        for path in paths:
            if wild is not None:
                matched = next((head for head in _heads(path) if wild.fullmatch(head)), None)
                if matched is None:
                    continue
                rest = path[len(matched) + 1 :]
            elif path.startswith(below):
                rest = path[len(below) :]
            elif path == source:
                rest = ""
            else:
                continue
            if keep or rest:
                yield folder + (path if keep else rest), path
            elif into or wild is not None:
                yield folder + posixpath.basename(path), path
            else:
                yield place, path


def _moved(words: tuple[str, ...], origin: Layout, workdir: str) -> Iterator[tuple[str, str]]:
    """What a COPY from an earlier stage puts where."""
    *sources, target = words
    place = posixpath.join(workdir, target)
    for source in sources:
        for rest, path in origin.below(posixpath.normpath(posixpath.join("/", source))):
            name = rest or (posixpath.basename(source) if target.endswith("/") else "")
            yield posixpath.normpath(posixpath.join(place, name)), path


def _installed(instruction: Instruction, layout: Layout) -> Iterator[tuple[str, str]]:
    """The packages of folders that ``pip install`` is given, as they can be imported afterwards."""
    text = " ".join((*instruction.words, *(each.content for each in instruction.heredocs)))
    for command in _SEPARATORS.split(text):
        if not _INSTALL.search(command):
            continue
        try:
            words = shlex.split(_INSTALL.split(command, maxsplit=1)[1])
        except ValueError:
            continue
        for word in words:
            folder = posixpath.normpath(posixpath.join(layout.workdir, word.partition("[")[0]))
            if "/" in word or word.startswith("."):
                yield from _packages(layout, folder)


def _packages(layout: Layout, folder: str) -> Iterator[tuple[str, str]]:
    for root in (folder, f"{folder}/src"):
        found = list(layout.below(root))
        names = {rest.partition("/")[0] for rest, _ in found if rest.endswith("/__init__.py")}
        for rest, path in found:
            if rest.partition("/")[0] in names:
                yield f"{SITE}/{rest}", path


def _heads(path: str) -> Iterator[str]:
    """The path and the folders that it is in, outermost first."""
    parts = path.split("/")
    for count in range(1, len(parts) + 1):
        yield "/".join(parts[:count])
