"""Whether an image holds the first-party code that its function needs when Lambda starts it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lamina.declare.dockerfile import Instruction
from lamina.identify.fingerprint import distribution
from lamina.identify.image import Image
from lamina.identify.imports import ImportFault, ImportWalk
from lamina.identify.layout import Layout, lay_out

_PYPROJECT = "pyproject.toml"
_PROJECTS = (f"*/{_PYPROJECT}", f"*/*/{_PYPROJECT}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalProject:
    """A Python project of the repository. name: normalised; folder: relative; requires: normalised names."""

    name: str
    folder: str
    requires: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lacking:
    """A project in the image whose requirement, a project of the repository as well, is not in it."""

    project: LocalProject
    required: LocalProject


@dataclass(frozen=True, slots=True, kw_only=True)
class Runnable:
    """What was found wrong with one image. shell: a CMD in shell form, which is no handler."""

    imports: tuple[ImportFault, ...]
    shell: Instruction | None
    lacking: tuple[Lacking, ...]


def check_runnable(images: Mapping[str, Image], names: Iterable[str]) -> Mapping[str, Runnable]:
    """Look into the named images; of those they stand on only the layout is needed."""
    chosen = tuple(names)
    layouts = _layouts(images) if chosen else {}
    sent: dict[str, frozenset[str]] = {}
    for name, image in images.items() if chosen else ():
        paths = frozenset(_paths(image))
        sent[name] = paths.union(*(sent.get(parent, ()) for parent in image.node.parents))
    projects: dict[Path, tuple[LocalProject, ...]] = {}
    found: dict[str, Runnable] = {}
    for name in chosen:
        image, layout = images[name], layouts[name]
        root = image.root("")
        if root not in projects:
            projects[root] = tuple(_projects(root))
        found[name] = Runnable(
            imports=_imports(image, layout) if _started_by_lambda(images, image) else (),
            shell=_shell_command(images, image),
            lacking=tuple(_lacking(layout, projects[root], sent[name])) if layout.complete else (),
        )
    return found


def _shell_command(images: Mapping[str, Image], image: Image) -> Instruction | None:
    """The CMD that an image on Lambda's runtime has in shell form: its entrypoint wants a handler alone."""
    last = next((each for each in reversed(image.node.recipe.instructions) if each.name == "CMD"), None)
    lineage = (images[name] for name in _lineage(images, image.name))
    outside = {external.name for each in lineage for external in each.node.externals}
    on_runtime = any("lambda/python" in name for name in outside) and _started_by_lambda(images, image)
    return last if last is not None and not last.json and on_runtime else None


def _started_by_lambda(images: Mapping[str, Image], image: Image) -> bool:
    """Whether CMD names a handler: not where an ENTRYPOINT, its own or a base's, is something else."""
    for each in reversed(image.node.recipe.instructions):
        if each.name == "ENTRYPOINT":
            words = " ".join(each.words)
            return "awslambdaric" in words or "lambda-entrypoint" in words
    return all(
        _started_by_lambda(images, images[parent]) for parent in image.node.parents if parent in images
    )


def handler_file(images: Mapping[str, Image], name: str, command: tuple[str, ...]) -> Path | None:
    """The file of the repository that a CMD of an image names; None where that cannot be known."""
    lineage = _lineage(images, name)
    layouts = _layouts({each: image for each, image in images.items() if each in lineage})
    path = _walk(images[name], layouts[name]).origin(command)
    return images[name].root("") / path if path else None


def _lineage(images: Mapping[str, Image], name: str) -> frozenset[str]:
    """An image and those of the images that it stands on."""
    parents = (parent for parent in images[name].node.parents if parent in images)
    return frozenset({name}).union(*(_lineage(images, parent) for parent in parents))


def _layouts(images: Mapping[str, Image]) -> Mapping[str, Layout]:
    """Where the files of each image are in it, bases first."""
    layouts: dict[str, Layout] = {}
    for name, image in images.items():
        bases = {
            called: layouts.get(parent, Layout(complete=False))
            for parent, spellings in image.node.parents.items()
            for called in spellings
        }
        layout = lay_out(image.node.recipe, _paths(image), bases)
        links = {file.path for file in image.contexts[""].files if file.kind == "link"}
        unsure = not links.isdisjoint(layout.files.values())
        layouts[name] = replace(layout, complete=False) if unsure else layout
    return layouts


def _paths(image: Image) -> tuple[str, ...]:
    return tuple(file.path for file in image.contexts[""].files if file.kind != "dir")


def _imports(image: Image, layout: Layout) -> tuple[ImportFault, ...]:
    return _walk(image, layout).run(image.node.recipe.command)


def _walk(image: Image, layout: Layout) -> ImportWalk:
    root = image.root("")

    def read(path: str) -> str | None:
        try:
            return (root / path).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    return ImportWalk(layout, read, lambda path: (root / path).is_file())


def _lacking(layout: Layout, projects: tuple[LocalProject, ...], sent: frozenset[str]) -> Iterator[Lacking]:
    """Requirements of whose source no build of the image or of its bases saw a line.

    sent: the paths of their contexts; what is among them may be in the image in some other way, as a wheel.
    """
    by_name = {each.name: each for each in projects}
    in_image = frozenset(layout.files.values())
    for project in projects:
        for name in project.requires if _has_code(project, in_image) else ():
            if name in by_name and not _has_code(by_name[name], sent):
                yield Lacking(project=project, required=by_name[name])


def _has_code(project: LocalProject, paths: frozenset[str]) -> bool:
    return any(path.startswith(f"{project.folder}/") and path.endswith(".py") for path in paths)


def _projects(root: Path) -> Iterator[LocalProject]:
    """The Python projects of the repository, but not the one that is the repository itself."""
    for pattern in _PROJECTS:
        for file in sorted(root.glob(pattern)):
            try:
                project = tomllib.loads(file.read_text("utf-8"))["project"]
                requires = tuple(distribution(str(each)) for each in project.get("dependencies", []))
                folder = file.parent.relative_to(root).as_posix()
                yield LocalProject(name=distribution(project["name"]), folder=folder, requires=requires)
            except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError):
                continue


def local_names(images: Iterable[Image]) -> frozenset[str]:
    """The normalised names of the Python projects in the images' contexts: no package index serves them."""
    files = {image.root("") / path for image in images for path in image.bill.requirements}
    return frozenset(filter(None, (_project_name(file) for file in files if file.name == _PYPROJECT)))


def _project_name(file: Path) -> str | None:
    try:
        return distribution(tomllib.loads(file.read_text("utf-8"))["project"]["name"])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError):
        return None
