"""Check whether an image contains the local code that its function needs when Lambda starts it."""

from __future__ import annotations

import hashlib
import posixpath
import tomllib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from functools import partial
from pathlib import Path

from lamina.declare.dockerfile import Instruction
from lamina.errors import Certainty
from lamina.identify.context import ContextFile
from lamina.identify.facts import Facts
from lamina.identify.fingerprint import distribution
from lamina.identify.image import Image
from lamina.identify.image_layouts import lay_out_images
from lamina.identify.importable import Portions
from lamina.identify.imports import ImportWalk
from lamina.identify.layout import Layout, StageLayouts
from lamina.identify.missing import ImportFault
from lamina.identify.modules import Module, every_import
from lamina.identify.reach import Disk, Reach, ReachedModule
from lamina.identify.reached import Parse, reached
from lamina.identify.readings import ProjectFile, Readings
from lamina.identify.scan import Scanned
from lamina.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalProject:
    """A Python project in the repository.

    Attributes:
        name: Normalised, as are the names in `requires`.
        folder: Absolute path.
        packages: Import name -> its ``__init__.py``.
    """

    name: str
    folder: str
    requires: tuple[str, ...]
    packages: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lacking:
    """A project in the image that requires another local project, which is missing from the image."""

    project: LocalProject
    required: LocalProject
    certainty: Certainty
    unless: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Runnable:
    """The problems found in one image, and what it contains.

    Attributes:
        shell: A CMD in shell form, which cannot name a handler.
        reached: The modules that the functions may import, by image path.
        parse: Returns the same with some of them parsed, by image path, and those that lead to them.
    """

    imports: tuple[ImportFault, ...]
    shell: Instruction | None
    lacking: tuple[Lacking, ...]
    reached: Mapping[str, ReachedModule] = field(default_factory=dict)
    parse: Parse | None = field(default=None, compare=False)

    @property
    def found(self) -> Runnable | None:
        """The problems alone; None if there are none."""
        return replace(self, reached={}, parse=None) if self.imports or self.shell or self.lacking else None


def check_runnable(
    images: Mapping[str, Image],
    names: Iterable[str],
    facts: Facts | None = None,
    layouts: Mapping[str, StageLayouts] | None = None,
    readings: Readings | None = None,
) -> Mapping[str, Runnable]:
    """Check the named images. Of their bases only the layout is used.

    Args:
        facts: Of the sources, for other commands as well.
        layouts: Of all images, from `lay_out_images`; computed by default.
        readings: Keeps what is read from the disk.
    """
    readings = readings or Readings()
    layouts = layouts if layouts is not None else lay_out_images(images, readings)
    checks: dict[Path, _Check] = {}
    found: dict[str, Runnable] = {}
    for name in names:
        root = _root(images[name])
        if root not in checks:
            projects = tuple(_projects(readings.projects(str(root))))
            checks[root] = _Check(images, facts or Facts(), projects, readings)
        found[name] = checks[root].run(images[name], layouts[name].final)
    return found


class _Check:
    """Checks images of one project. What equal files of theirs import is found out once."""

    def __init__(
        self,
        images: Mapping[str, Image],
        facts: Facts,
        projects: tuple[LocalProject, ...],
        readings: Readings,
    ) -> None:
        self._images = images
        self._projects = projects
        self._readings = readings
        self._disk = _disk(images, facts, projects, readings)
        self._reach = Reach(self._disk)
        self._portions = Portions()

    def walk(self, layout: Layout) -> ImportWalk:
        """Return the walk through an image."""
        return ImportWalk(layout, self._disk, self._reach, self._portions)

    def run(self, image: Image, layout: Layout) -> Runnable:
        """Check one image."""
        layout = _with_required(layout, self._projects)
        imports: tuple[ImportFault, ...] = ()
        parse: Parse | None = None
        if _started_by_lambda(self._images, image, layout):
            walk = self.walk(layout)
            functions = image.node.spec.functions
            own = {each.command or image.node.recipe.command: bool(each.command) for each in functions}
            commands = own or {image.node.recipe.command: True}
            for command, is_own in commands.items():
                imports += walk.run(command, overridden=not is_own and len(functions) > 1)
            imports = tuple(dict.fromkeys((*imports, *walk.opened())))
            parse = partial(reached, walk, commands, overridden=len(functions) > 1 and not all(own.values()))
        named = frozenset(each.local for each in imports if each.local)
        sent = _sent(self._images, image)
        lacking = _lacking(image, layout, self._projects, sent, self._disk, self._readings)
        return Runnable(
            imports=imports,
            shell=_shell_command(self._images, image, layout),
            lacking=tuple(
                each
                for each in lacking
                if not any(local.startswith(f"{each.required.folder}/") for local in named)
            ),
            reached=parse() if parse else {},
            parse=parse,
        )


def _with_required(layout: Layout, projects: tuple[LocalProject, ...]) -> Layout:
    """Add the requirements of installed projects: pip installs them or the build fails."""
    installed = {each.place for each in layout.installed if each.with_requirements}
    names = (name for each in projects if each.folder in installed for name in each.requires)
    return replace(layout, required=layout.required.union(names))


def _shell_command(images: Mapping[str, Image], image: Image, layout: Layout) -> Instruction | None:
    """Return a CMD in shell form on Lambda's runtime, whose entrypoint expects only a handler; else None."""
    last = next((each for each in reversed(image.node.recipe.instructions) if each.name == "CMD"), None)
    on_runtime = layout.on_runtime and _started_by_lambda(images, image, layout)
    return last if last is not None and not last.json and on_runtime else None


def _started_by_lambda(images: Mapping[str, Image], image: Image, layout: Layout) -> bool:
    """Whether CMD may name a handler. Not if an ENTRYPOINT, own or inherited, is another program."""
    entrypoint = _entrypoint(images, image)
    if entrypoint is not None:
        words = " ".join(entrypoint.words)
        return "awslambdaric" in words or "lambda-entrypoint" in words
    return layout.on_runtime or bool(layout.gaps)


def _entrypoint(images: Mapping[str, Image], image: Image) -> Instruction | None:
    for each in reversed(image.node.recipe.instructions):
        if each.name == "ENTRYPOINT":
            return each
    below = (images[parent] for parent in image.node.parents if parent in images)
    return next(filter(None, (_entrypoint(images, each) for each in below)), None)


def handler_file(images: Mapping[str, Image], name: str, command: tuple[str, ...]) -> Path | None:
    """Return the repository file that a CMD names; None if unknown."""
    lineage = _lineage(images, name)
    layouts = lay_out_images({each: image for each, image in images.items() if each in lineage})
    path = _Check(images, Facts(), (), Readings()).walk(layouts[name].final).origin(command)
    return Path(path) if path else None


def _lineage(images: Mapping[str, Image], name: str) -> frozenset[str]:
    """Return the names of an image and all its ancestors."""
    parents = (parent for parent in images[name].node.parents if parent in images)
    return frozenset({name}).union(*(_lineage(images, parent) for parent in parents))


def _sent(images: Mapping[str, Image], image: Image) -> Sequence[str]:
    """Return the Python files that builds of the image or its ancestors can read, sorted."""
    lineage = (images[name] for name in _lineage(images, image.name))
    return sorted(
        f"{root}/{file.path}"
        for each in lineage
        for context, held in each.contexts.items()
        for root in (each.root(context),)
        for file in held.files
        if file.path.endswith(".py") and file.kind != "dir"
    )


def _disk(
    images: Mapping[str, Image], facts: Facts, projects: tuple[LocalProject, ...], readings: Readings
) -> Disk:
    digest = _digests(images, readings)

    def module(origin: str) -> Module | None:
        found = digest(origin)
        return facts.module(found, Path(origin).read_bytes) if found else None

    def scanned(origin: str) -> Scanned:
        found = digest(origin)
        return facts.scanned(found, Path(origin).read_bytes) if found else Scanned()

    packages: dict[str, tuple[str, str]] = {}
    twice: set[str] = set()
    for project in projects:
        for name, file in project.packages.items():
            twice |= {name} & packages.keys()
            packages[name] = (file, project.name)
    return Disk(
        module=module,
        scanned=scanned,
        exists=readings.is_file,
        projects={name: each for name, each in packages.items() if name not in twice},
    )


def _digests(images: Mapping[str, Image], readings: Readings) -> Callable[[str], str | None]:
    """Return what gives the digest of a source's content, by origin; None if no context has it."""
    roots: dict[str, dict[str, ContextFile]] = {}
    for image in images.values():
        for context, held in image.contexts.items():
            roots.setdefault(f"{image.root(context)}/", {}).update({each.path: each for each in held.files})

    def digest(origin: str) -> str | None:
        within = (files.get(origin[len(root) :]) for root, files in roots.items() if origin.startswith(root))
        file = next(filter(None, within), None)
        if file is None or file.kind != "link":
            return file.sha256 if file else None
        content = readings.content(origin)  # the digest of a link is of its target's name
        return None if content is None else hashlib.sha256(content).hexdigest()

    return digest


def _lacking(
    image: Image,
    layout: Layout,
    projects: tuple[LocalProject, ...],
    sent: Sequence[str],
    disk: Disk,
    readings: Readings,
) -> Iterator[Lacking]:
    """Yield requirements of which no build of the image or its ancestors reads any code.

    A project counts as in the image if its project file is installed or all of its package is copied. If only
    a part is copied, the imports decide.
    """
    if layout.gaps or image.node.kind != "lambda":
        return
    by_name = {each.name: each for each in projects}
    installed = {each.place: each.with_requirements for each in layout.installed}
    in_image = frozenset(layout.files.values())
    for project in projects:
        needed = [by_name[name] for name in project.requires if name in by_name]
        lost = [each for each in needed if not _has_code(each, sent)]
        if not lost:
            continue
        if installed.get(project.folder):
            for each in lost:
                unless = f"a package index serves {each.name} to pip"
                yield Lacking(project=project, required=each, certainty="likely", unless=unless)
        elif project.folder in installed or _is_whole(project, in_image, readings):
            for each in lost:
                importer = _imports_any(project, each, in_image, disk)
                if importer is not None and each.name not in layout.required:
                    unless = f"{image.project_path_of(importer)}, which imports it, is never imported"
                    yield Lacking(project=project, required=each, certainty="likely", unless=unless)


def _has_code(project: LocalProject, sources: Sequence[str]) -> bool:
    below = f"{project.folder}/"
    index = bisect_left(sources, below)
    return index < len(sources) and sources[index].startswith(below)


def _is_whole(project: LocalProject, in_image: frozenset[str], readings: Readings) -> bool:
    """Whether all modules of a project's packages are in the image."""
    if not any(file in in_image for file in project.packages.values()):
        return False
    folders = (posixpath.dirname(file) for file in project.packages.values() if file in in_image)
    return all(file in in_image for folder in folders for file in readings.sources(folder))


def _imports_any(
    project: LocalProject, required: LocalProject, in_image: frozenset[str], disk: Disk
) -> str | None:
    """Return a module of a project in the image that imports another project, at any depth; else None."""
    for origin in sorted(in_image):
        if origin.startswith(f"{project.folder}/") and origin.endswith(".py"):
            module = disk.module(origin)
            for each in every_import(module.needs) if module is not None else ():
                if not each.level and each.module.partition(".")[0] in required.packages:
                    return origin
    return None


def _projects(files: Iterable[ProjectFile]) -> Iterator[LocalProject]:
    """Yield the Python projects of the repository."""
    for file in files:
        try:
            project = tomllib.loads(file.content.decode("utf-8"))["project"]
            requires = tuple(distribution(str(each)) for each in project.get("dependencies", []))
            yield LocalProject(
                name=distribution(project["name"]),
                folder=posixpath.dirname(file.path),
                requires=requires,
                packages=dict(file.packages),
            )
        except (UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError):
            continue


def _root(image: Image) -> Path:
    """Return the project's folder, derived from the context's path."""
    path = image.node.spec.context_path
    up = posixpath.relpath(".", path) if path and not path.startswith("..") else "."
    return Path(posixpath.normpath(posixpath.join(str(image.root("")), up)))
