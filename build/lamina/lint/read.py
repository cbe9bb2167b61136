"""Read the input of the rules from a project's files: each once, and contents only where needed."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from lamina.decide.preflight import faults
from lamina.decide.unfiltered import ContextFiles, unfiltered_files
from lamina.declare.config import ImageSpec, Project
from lamina.declare.graph import find_graph
from lamina.declare.lockfile import UV_LOCK, Lock, read_lock
from lamina.declare.uv_lock import UnusualLockError, UvLock, read_uv_lock
from lamina.errors import ConfigError, Problem, nearest
from lamina.identify.copy_sources import rooted
from lamina.identify.excludes import BY_DEFAULT, DEFAULT_EXCLUDES
from lamina.identify.facts import Facts
from lamina.identify.fingerprint import distribution
from lamina.identify.ignore import Ignore
from lamina.identify.image import DOCKERIGNORE, Image, identify
from lamina.identify.image_layouts import lay_out_images
from lamina.identify.runnable import Runnable, check_runnable
from lamina.identify.tree import Files
from lamina.identify.wildcard import is_wildcard
from lamina.lint.survey import IdleRule, LintInput, Package
from lamina.preflight.check import check_images
from lamina.report.cold import read_colds
from lamina.report.inits import last_compilations
from lamina.report.sizes import measured_images

_PYPROJECT = "pyproject.toml"
_ALIKE = 0.85
_SHORT = 3
"""Names of this many characters or fewer may be anagrams by chance."""


class Surveyor:
    """Surveys drafts of one project; input that does not depend on a Dockerfile is read only once."""

    def __init__(
        self,
        files: Callable[[Path], Files],
        seconds_of: Callable[[str, str], float | None],
        facts: Facts | None = None,
    ) -> None:
        self._files = files
        self._seconds_of = seconds_of
        self._facts = facts or Facts()
        self._whole: dict[tuple[Path, Ignore], ContextFiles] = {}

    def survey(self, project: Project) -> LintInput:
        """Return the input of the rules. Raises ConfigError with all reasons why it cannot be read."""
        survey, problems = self.survey_readable(project)
        ConfigError.check(problems)
        return survey

    def survey_readable(self, project: Project) -> tuple[LintInput, tuple[Problem, ...]]:
        """Return the input of images that can be read with all bases, and the problems of the others."""
        graph, unparsed = find_graph(project)
        found, unread = identify(project, graph, graph.nodes, prefix="", bases={}, files=self._files)
        images: dict[str, Image] = {}
        for name, image in found.items():
            if images.keys() >= image.node.parents.keys():
                images[name] = image
        apart = faults({name: image for name, image in found.items() if name not in images})
        return self._survey(project, images), tuple(dict.fromkeys((*unparsed, *unread, *apart)))

    def _survey(self, project: Project, images: Mapping[str, Image]) -> LintInput:
        layouts = lay_out_images(images)
        runnable = check_runnable(images, images, self._facts, layouts)
        return LintInput(
            project=project,
            images=images,
            lock=read_lock(project.root) or Lock(),
            packages={name: dict(_packages(image)) for name, image in images.items()},
            whole={name: self._all_of(image) for name, image in images.items()},
            strays={name: tuple(_strays(image, project)) for name, image in images.items()},
            idle_rules={name: tuple(_idle(image)) for name, image in images.items()},
            listings={name: dict(_listings(image)) for name, image in images.items()},
            locks={name: dict(_locks(image)) for name, image in images.items()},
            runnable=runnable,
            preflight=check_images(images, layouts, runnable),
            starts=last_compilations(project.state),
            made={
                key.partition("@")[0]: sum(cold.layers.values())
                for key, cold in read_colds(project.state).items()
            },
            measured=measured_images(project.state),
            snapshot_sources={
                name: dict(_sources(images[name], found))
                for name, found in runnable.items()
                if images[name].node.spec.snap_start
            },
            texts=dict(_texts(images)),
            seconds_of=self._seconds_of,
        )

    def _all_of(self, image: Image) -> ContextFiles:
        root, ignore = image.root(""), image.contexts[""].ignore
        if (root, ignore) not in self._whole:
            self._whole[root, ignore] = unfiltered_files(self._files(root), ignore)
        return self._whole[root, ignore]


def _sources(image: Image, found: Runnable) -> Iterator[tuple[str, bytes]]:
    """Yield the modules that the functions of an image certainly import, if they can be read."""
    for each in found.reached.values():
        if each.certain:
            try:
                yield image.project_path_of(each.origin), Path(each.origin).read_bytes()
            except OSError:
                continue


def _packages(image: Image) -> Iterator[tuple[str, Package]]:
    for path in _named(image, _PYPROJECT):
        try:
            project = tomllib.loads((image.root("") / path).read_text("utf-8"))["project"]
            folder = path.removesuffix(_PYPROJECT).rstrip("/")
            yield (
                folder,
                Package(
                    folder=folder,
                    name=distribution(str(project["name"])),
                    requires=tuple(str(each) for each in project.get("dependencies", ())),
                    dynamic="dependencies" in project.get("dynamic", ()),
                ),
            )
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError):
            continue


def _named(image: Image, name: str) -> Iterator[str]:
    for each in image.contexts[""].files:
        if each.kind in {"file", "exec"} and each.path.rpartition("/")[2] == name:
            yield each.path


def _listings(image: Image) -> Iterator[tuple[str, str]]:
    for path in image.inputs.requirements:
        if path.endswith((".txt", ".in")) or path == _PYPROJECT:
            yield path, (image.root("") / path).read_text("utf-8", errors="replace")


def _locks(image: Image) -> Iterator[tuple[str, UvLock]]:
    for path in _named(image, UV_LOCK):
        try:
            yield path, read_uv_lock((image.root("") / path).read_text("utf-8"))
        except (OSError, UnicodeDecodeError, UnusualLockError):
            continue


def _strays(image: Image, project: Project) -> Iterator[str]:
    """Yield ignore files near the Dockerfile and its sources that no image of the project reads."""
    root = image.root("")
    read = {spec.context / DOCKERIGNORE for spec in project.images.values()}
    read |= {folder / DOCKERIGNORE for spec in project.images.values() for folder in spec.contexts.values()}
    read |= {project.root / f"{spec.dockerfile_path}{DOCKERIGNORE}" for spec in project.images.values()}
    dockerfile = project.root / image.node.spec.dockerfile_path
    folders = {dockerfile.parent, *dockerfile.parents}
    for source in image.node.recipe.sources:
        paths = [rooted(each) for each in source.paths or () if not is_wildcard(each)]
        folders |= {folder for each in paths if each for folder in (root / each, *(root / each).parents)}
    found = {folder / DOCKERIGNORE for folder in folders if folder.is_relative_to(root)}
    found |= {root / path for path in _named(image, DOCKERIGNORE)}
    found |= {each for each in dockerfile.parent.glob(f"?*{DOCKERIGNORE}") if not _beside(each).is_file()}
    for file in sorted(found - read):
        if file.is_file() and file.is_relative_to(project.root):
            yield file.relative_to(project.root).as_posix()


def _beside(file: Path) -> Path:
    return file.with_name(file.name.removesuffix(DOCKERIGNORE))


def _idle(image: Image) -> Iterator[IdleRule]:
    """Yield rules for a missing path that is similar to an existing one which the rule does not affect.

    Rules with a wildcard are left out. Without a similar path a rule is fine: `.vscode` where there is none.
    """
    root, ignore = image.root(""), image.contexts[""].ignore
    for rule in ignore.rules:
        known = rule.source == BY_DEFAULT or rule.pattern in DEFAULT_EXCLUDES or is_wildcard(rule.pattern)
        meant = None if known else _misspelt(root, rule.pattern)
        if meant and (ignore.hides(meant) is not None) is rule.negated:
            yield IdleRule(rule=rule, meant=meant)


def _misspelt(root: Path, path: str) -> str | None:
    """Return an existing path that differs in a letter or two of one part; None if the given path exists."""
    parts = path.split("/")
    at = next((n for n in range(len(parts)) if not os.path.lexists(root.joinpath(*parts[: n + 1]))), None)
    folder = root.joinpath(*parts[:at])
    if at is None or not folder.is_dir() or not os.access(folder, os.R_OK):
        return None
    names = sorted(each.name for each in folder.iterdir())
    near = nearest(parts[at], [name for name in names if _is_alike(parts[at], name)])
    found = "/".join((*parts[:at], near, *parts[at + 1 :])) if near else None
    return found if found and os.path.lexists(root / found) else None


def _is_alike(written: str, name: str) -> bool:
    one, other = written.casefold(), name.casefold()
    swapped = sorted(one) == sorted(other) and len(one) > _SHORT
    return swapped or (abs(len(one) - len(other)) <= 1 and nearest(one, [other], cutoff=_ALIKE) is not None)


def _texts(images: Mapping[str, Image]) -> Iterator[tuple[str, str]]:
    for image in images.values():
        spec = image.node.spec
        yield spec.dockerfile_path, image.node.recipe.dockerfile.text
        source = image.contexts[""].ignore.source
        if source is not None:
            yield source, ignore_file(spec, source).read_text("utf-8", errors="replace")


def ignore_file(spec: ImageSpec, source: str) -> Path:
    """Return the ignore file that rules name as their source."""
    beside = spec.dockerfile.with_name(spec.dockerfile.name + DOCKERIGNORE)
    return beside if source == spec.dockerfile_path + DOCKERIGNORE else spec.context / DOCKERIGNORE
