"""The parsed project as rules see it, and queries that several rules share."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from lamina.decide.unfiltered import ContextFiles
from lamina.declare.config import Project
from lamina.declare.lockfile import Lock
from lamina.declare.pip import Install
from lamina.declare.recipe import ResolvedStage
from lamina.declare.uv_lock import UvLock
from lamina.identify.fingerprint import distribution
from lamina.identify.ignore import IgnoreRule
from lamina.identify.image import Image
from lamina.identify.runnable import Runnable
from lamina.lint.steps import RunStep, steps
from lamina.preflight.fault import Fault
from lamina.report.sizes import MeasuredImage

_VERSION = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A Python project in a context.

    Attributes:
        name: normalised.
        requires: as declared.
        dynamic: set by the build.
    """

    folder: str
    name: str
    requires: tuple[str, ...]
    dynamic: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleRule:
    """An ignore rule for a path that does not exist. meant: a similar path that does."""

    rule: IgnoreRule
    meant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provided:
    """What an image's bases install: folder -> image; distribution -> (image, requirement)."""

    folders: Mapping[str, str]
    distributions: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class LintInput:
    """The input of all rules.

    Attributes:
        images: bases first.
        packages: by image and folder.
        whole: image -> all files that its ignore file leaves in the context.
        strays: image -> ignore files in its context that are never read.
        idle_rules: image -> rules of its ignore file that are probably misspelt.
        listings: image -> the text of each requirements file.
        seconds_of: image and instruction -> seconds of its last run on this machine, if known.
    """

    project: Project
    images: Mapping[str, Image]
    lock: Lock
    packages: Mapping[str, Mapping[str, Package]] = field(default_factory=dict)
    whole: Mapping[str, ContextFiles] = field(default_factory=dict)
    strays: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    idle_rules: Mapping[str, tuple[IdleRule, ...]] = field(default_factory=dict)
    listings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    locks: Mapping[str, Mapping[str, UvLock]] = field(default_factory=dict)
    """Image -> its locks of uv that have the usual form, by path in its context."""
    runnable: Mapping[str, Runnable] = field(default_factory=dict)
    starts: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    """Image -> the modules that its last measured start compiled, and the milliseconds of CPU."""
    made: Mapping[str, int] = field(default_factory=dict)
    """Image -> the bytes of its own layers in its last cold build."""
    measured: Mapping[str, MeasuredImage] = field(default_factory=dict)
    """Image -> what the last `size` found in it."""
    snapshot_sources: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    """Image with ``snap-start`` -> the modules that its functions import when they start, by project path."""
    preflight: Mapping[str, tuple[Fault, ...]] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    """Path in findings -> text, of the files whose comments may switch rules off."""
    seconds_of: Callable[[str, str], float | None] = lambda _image, _instruction: None

    @cached_property
    def steps(self) -> Mapping[str, tuple[RunStep, ...]]:
        """Image -> its RUN steps."""
        return {name: tuple(steps(image)) for name, image in self.images.items()}

    @cached_property
    def installs(self) -> tuple[tuple[RunStep, Install], ...]:
        """Every ``pip install`` of every image."""
        return tuple(
            (step, each) for found in self.steps.values() for step in found for each in step.installs
        )

    @cached_property
    def local_names(self) -> frozenset[str]:
        """Normalised names of the repository's own packages, which no index serves."""
        return frozenset(each.name for found in self.packages.values() for each in found.values())

    @cached_property
    def provided(self) -> Mapping[str, Provided]:
        """Image -> what its bases in the project install."""
        found: dict[str, Provided] = {}
        for name, image in self.images.items():
            base = self._parent(image, bottom(image))
            if base is None:
                found[name] = Provided(folders={}, distributions={})
                continue
            below = found[base.name]
            found[name] = Provided(
                folders={**below.folders, **dict(self._folders(base.name))},
                distributions={**below.distributions, **dict(self._distributions(base.name))},
            )
        return found

    def package(self, step: RunStep, written: str) -> Package | None:
        """Return the Python project at a path of a step."""
        place = step.place_of(written)
        return self.packages.get(step.image.name, {}).get(place.source) if place else None

    def _folders(self, image: str) -> Iterator[tuple[str, str]]:
        for step in self.steps[image]:
            for install in step.installs if step.in_image else ():
                for word in install.folders:
                    package = self.package(step, word.text)
                    if package and (not install.flags("--no-deps") or self._has_required(image, package)):
                        yield package.folder, image

    def _has_required(self, image: str, package: Package) -> bool:
        """Whether an image installs the dependencies of a package in a separate step."""
        return not self.outside(package) or any(package in self._bound(step) for step in self.steps[image])

    def _bound(self, step: RunStep) -> Iterator[Package]:
        """Yield the packages whose project file an install step mounts."""
        for place in step.places if step.installs else ():
            folder, _, name = place.source.rpartition("/")
            if place.copy is None and name == "pyproject.toml":
                yield from filter(None, (self.packages.get(step.image.name, {}).get(folder),))

    def _distributions(self, image: str) -> Iterator[tuple[str, tuple[str, str]]]:
        for step in self.steps[image]:
            for install in step.installs if step.in_image else ():
                for line in self.required(step, install):
                    yield distribution(line), (image, line)

    def required(self, step: RunStep, install: Install) -> Iterator[str]:
        """Yield the requirements that a call of pip installs from an index, with extras and markers."""
        if not install.values("-t", "--target"):
            yield from (word.text for word in install.requirements)
            for file in install.values("-r", "--requirement"):
                place = step.place_of(file)
                if place is not None:
                    yield from step.image.inputs.requirements.get(place.source, ())
                else:
                    yield from (line for each in self._bound(step) for line in self.outside(each))
            for word in install.folders if not install.flags("--no-deps") else ():
                package = self.package(step, word.text)
                yield from self.outside(package) if package else ()

    def outside(self, package: Package) -> tuple[str, ...]:
        """Return the declared requirements of a project that are not packages of the repository."""
        return tuple(each for each in package.requires if distribution(each) not in self.local_names)

    def python(self, image: Image, stage: ResolvedStage | None = None) -> tuple[int, int] | None:
        """Return the Python version of the base of an image or a stage; None if its tag does not say."""
        name = bottom(image, stage)
        if parent := self._parent(image, name):
            return self.python(parent)
        path, _, tag = name.partition("@")[0].rpartition(":")
        version = _VERSION.match(tag)
        known = posixpath.basename(path) == "python" and version
        return (int(version[1]), int(version[2])) if known and version else None

    def on_runtime(self, image: Image) -> bool:
        """Whether the lowest base of an image is Lambda's Python runtime."""
        name = bottom(image)
        parent = self._parent(image, name)
        return self.on_runtime(parent) if parent else "lambda/python" in name

    def _parent(self, image: Image, name: str) -> Image | None:
        """Return the image of the project that a FROM names."""
        return next((self.images[one] for one, names in image.node.parents.items() if name in names), None)


def bottom(image: Image, stage: ResolvedStage | None = None) -> str:
    """Return the base of an image, or of one of its stages, outside its Dockerfile."""
    recipe = image.node.recipe
    used = {each.stage.index: each for each in recipe.stages}
    current = stage or recipe.stages[-1]
    while (below := recipe.dockerfile.stage(current.base)) and below.index < current.stage.index:
        if below.index not in used:
            break
        current = used[below.index]
    return current.base
