"""Where the files of a context end up in the image: what its Python can import of the repository.

Only what is plain is followed: COPY and ADD, COPY from a stage, WORKDIR, ``pip install <folder>``. Where
files may come to be in other ways the layout says so, and nothing is concluded from what it lacks.
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
_SEPARATORS = re.compile(r"&&|\|\|?|;|\n")
_PREFIXES = re.compile(r"(?:(?:if|then|else|do|!|exec|sudo|\w+=\S*)\s+)*")
_MAKERS = frozenset(
    {
        *("cp", "mv", "ln", "rsync", "install", "tar", "unzip", "tee", "make"),
        *("sh", "bash", "source", ".", "poetry", "pdm", "hatch"),
    }
)
"""Programs that may put code of the repository anywhere; installers of packages are not among them."""
_WRITES = re.compile(r"(?<![0-9&])>{1,2}+(?!=|\s*(?:/dev/|&))|\buv\s+sync\b|\bsetup\.py\b")
_ARCHIVE = re.compile(r"\.(?:tar|tgz|tbz2?|txz|tar\.\w+)$|://|^git@")
_CODE = (TASK_ROOT, "/opt/python")
"""Where functions and layers have their code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Image path -> path in the main context. complete: whether all files are accounted for."""

    files: Mapping[str, str] = field(default_factory=dict)
    workdir: str = TASK_ROOT
    complete: bool = True

    def has_folder(self, place: str) -> bool:
        """Whether there is certainly a folder at an image path."""
        below = f"{place.rstrip('/')}/"
        folders = (f"{self.workdir}/", f"{TASK_ROOT}/")
        return any(each.startswith(below) for each in (*folders, *self.files))

    def below(self, folder: str) -> Iterator[tuple[str, str]]:
        """The files at or below an image path: the path relative to it, and the path in the context."""
        prefix = folder.rstrip("/") + "/"
        for place, origin in self.files.items():
            if place == folder:
                yield "", origin
            elif place.startswith(prefix):
                yield place.removeprefix(prefix), origin


_UNKNOWN = Layout(complete=False)


def lay_out(recipe: Recipe, paths: tuple[str, ...], parents: Mapping[str, Layout]) -> Layout:
    """The layout of an image. paths: the files of its context. parents: FROM name -> the base's layout."""
    context = Layout(files={f"/{path}": path for path in paths})
    stages: dict[int, Layout] = {}
    for stage in recipe.stages:
        below = recipe.dockerfile.stage(stage.base)
        start = stages.get(below.index, Layout()) if below else parents.get(stage.base, Layout())
        stages[stage.stage.index] = _stage(recipe, stage, context, start, stages)
    return stages[recipe.stages[-1].stage.index]


def _stage(
    recipe: Recipe,
    stage: ResolvedStage,
    context: Layout,
    layout: Layout,
    stages: Mapping[int, Layout],
) -> Layout:
    scope = {**_AMBIENT, **dict(stage.args)}
    for instruction in stage.stage.instructions:
        try:
            if instruction.name == "WORKDIR":
                word = expand(instruction.words[0], scope)
                layout = replace(layout, workdir=posixpath.normpath(posixpath.join(layout.workdir, word)))
            elif instruction.name in {"COPY", "ADD"}:
                words = tuple(expand(word, scope) for word in instruction.words)
                name = instruction.flag("from")
                other = recipe.dockerfile.stage(name) if name is not None else None
                source = context if name is None else stages.get(other.index if other else -1, _UNKNOWN)
                layout = _with_copied(layout, instruction, words, source)
            elif instruction.name == "RUN":
                layout = replace(
                    layout,
                    files={**layout.files, **dict(_installed(instruction, layout))},
                    complete=layout.complete and not _makes_files(instruction),
                )
            elif instruction.name == "ENV" and any("PYTHONPATH" in word for word in instruction.words):
                layout = replace(layout, complete=False)
        except (UnknownVariableError, ExpansionError):
            layout = replace(layout, complete=False)
    return layout


def _with_copied(layout: Layout, instruction: Instruction, words: tuple[str, ...], source: Layout) -> Layout:
    """The layout after a COPY from the context or from a stage, each as a layout of its own."""
    *sources, target = words
    place = posixpath.normpath(posixpath.join(layout.workdir, target))
    opaque = any(each.startswith("<<") or _ARCHIVE.search(each) for each in sources)
    unsure = (opaque or not source.complete) and _may_hold_code(place, layout.workdir)
    found = dict(_copied(instruction, words, source, layout))
    return replace(layout, files={**layout.files, **found}, complete=layout.complete and not unsure)


def _may_hold_code(place: str, workdir: str) -> bool:
    """Whether what is put at an image path can be imported by the function."""
    return "-packages" in place or any(
        f"{root}/".startswith(f"{place.rstrip('/')}/") or place.startswith(f"{root}/")
        for root in (workdir, *_CODE)
    )


def _makes_files(instruction: Instruction) -> bool:
    """Whether a RUN may put code of the repository where no COPY did."""
    text = _text(instruction)
    programs = {
        posixpath.basename(words[0]) if not words[0].startswith("./") else "sh"
        for command in _SEPARATORS.split(text)
        if (words := _PREFIXES.sub("", command.strip(), count=1).split())
    }
    scripts = any(program.endswith(".sh") for program in programs)
    return scripts or not programs.isdisjoint(_MAKERS) or _WRITES.search(text) is not None


def _copied(
    instruction: Instruction, words: tuple[str, ...], origin: Layout, layout: Layout
) -> Iterator[tuple[str, str]]:
    """What a COPY puts where: image path, path in the context. origin: what it copies from.

    A single file goes into the folder that the destination names, or takes that name: where neither the
    image nor a suffix tells which, it is told in both places.
    """
    *written, target = words
    keep = instruction.flag("parents") in {"", "true"}
    sources = [_source(each, pivot=keep) for each in written if not each.startswith("<<")]
    place = posixpath.normpath(posixpath.join(layout.workdir, target))
    folder = place.rstrip("/") + "/"
    into = target.endswith("/") or posixpath.basename(target) in {".", ".."} or len(sources) > 1
    into = into or layout.has_folder(place)
    for source, kept in sources:
        wild = compile_wildcard(source, deep=keep) if is_wildcard(source) else None
        below = f"{source}/" if source else ""
        for there, file in origin.files.items():
            path = there.lstrip("/")
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
                yield folder + (path[kept:] if keep else rest), file
                continue
            if not into and wild is None:
                yield place, file
                if _suffix(place) == _suffix(path):
                    continue
            yield folder + posixpath.basename(path), file


def _suffix(path: str) -> str:
    return posixpath.splitext(path)[1]


def _source(written: str, *, pivot: bool) -> tuple[str, int]:
    """A source as a relative path, and how much of it ``--parents`` leaves out: what is before ``/./``."""
    before = written.partition("/./")[0] if pivot and "/./" in written else ""
    head = posixpath.normpath(f"/{before}").lstrip("/")
    return posixpath.normpath(f"/{written}").lstrip("/"), len(f"{head}/") if head else 0


def _installed(instruction: Instruction, layout: Layout) -> Iterator[tuple[str, str]]:
    """The packages of folders that ``pip install`` is given, as they can be imported afterwards."""
    for command in _SEPARATORS.split(_text(instruction)):
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


def _text(instruction: Instruction) -> str:
    return " ".join((*instruction.words, *(each.content for each in instruction.heredocs)))


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
