"""The dependencies between images, found in their Dockerfiles. Bases come first."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from lamina.declare.config import ImageSpec, Project
from lamina.declare.dockerfile import Instruction, read_dockerfile
from lamina.declare.machine import native_platform
from lamina.declare.recipe import SCRATCH, External, Recipe
from lamina.declare.resolve import resolve
from lamina.errors import ConfigError, LaminaError, Problem, SelectionError, meant
from lamina.reachable import reachable
from lamina.refs import Reference, context_key
from lamina.values import dataclass

_OWN_TAGS = (None, "stable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """An image in the graph.

    Attributes:
        kind: ``base`` or ``lambda``.
        parents: Project image -> its names in the Dockerfile (``base-x``, ``base-x:stable``).
        externals: Images from outside the project.
    """

    spec: ImageSpec
    recipe: Recipe
    kind: str
    parents: Mapping[str, tuple[str, ...]]
    externals: tuple[External, ...]

    @property
    def name(self) -> str:
        """The image's name."""
        return self.spec.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """All images of a project, in build order."""

    nodes: Mapping[str, Node]

    def select(self, names: Iterable[str], *, kind: str | None = None) -> tuple[str, ...]:
        """Return the named images of a kind in build order; all when ``names`` is empty.

        Raises:
            SelectionError: For an unknown name, or when nothing is selected.
        """
        requested = tuple(names)
        SelectionError.check(
            Problem(
                what=f"there is no image {name!r}{meant(name, self.nodes)}",
                allowed=", ".join(self.nodes) or "no image is declared",
            )
            for name in requested
            if name not in self.nodes
        )
        chosen = tuple(
            name
            for name, node in self.nodes.items()
            if (not requested or name in requested) and kind in {None, node.kind}
        )
        if not chosen:
            raise SelectionError.of(
                f"no {kind or ''} image is selected".replace("  ", " "),
                hint="invoke init finds Dockerfiles and proposes [tool.lamina.images.<name>]; "
                "dockerfiles/<image>/Dockerfile needs no configuration",
            )
        return chosen

    def with_ancestors(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the images and all their ancestors, in build order."""
        found = reachable(names, lambda name: self.nodes[name].parents.keys() & self.nodes.keys())
        return tuple(name for name in self.nodes if name in found)


def read_graph(project: Project) -> Graph:
    """Parse every Dockerfile and connect the images. Raises ConfigError with all problems at once."""
    graph, problems = find_graph(project)
    ConfigError.check(problems)
    return graph


def find_graph(project: Project) -> tuple[Graph, tuple[Problem, ...]]:
    """Return the images whose Dockerfiles can be read, and the problems of the others.

    If there are problems, the parents of a node may be missing from the graph.
    """
    read: dict[str, _Read] = {}
    problems: list[Problem] = []
    for name in project.images:
        try:
            read[name] = _read(name, project)
        except LaminaError as error:
            problems += error.problems
    for name in tuple(read):
        if triggers := _triggers(read, read[name].joint):
            try:
                read[name] = _read(name, project, triggers)
            except LaminaError as error:
                problems += error.problems
                del read[name]
    order, cycles = _sorted(
        {name: tuple(filter(read.__contains__, each.joint.parents)) for name, each in read.items()}, project
    )
    children = {parent for each in read.values() for parent in each.joint.parents}
    nodes = {
        name: Node(
            spec=project.images[name],
            recipe=read[name].recipe,
            kind=_kind(project.images[name], read[name].recipe, has_children=name in children),
            parents=read[name].joint.parents,
            externals=read[name].joint.externals,
        )
        for name in order
    }
    return Graph(nodes=nodes), tuple(dict.fromkeys((*problems, *cycles)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """A Dockerfile that could be read, and the images it uses."""

    recipe: Recipe
    joint: _Joint


def _read(
    name: str, project: Project, triggers: Mapping[str, tuple[Instruction, ...]] | None = None
) -> _Read:
    recipe = _recipe(project.images[name], triggers)
    return _Read(recipe=recipe, joint=_join(name, recipe, project))


def _recipe(spec: ImageSpec, triggers: Mapping[str, tuple[Instruction, ...]] | None = None) -> Recipe:
    return resolve(
        read_dockerfile(spec.dockerfile, spec.dockerfile_path),
        platform=spec.platform,
        build_platform=native_platform(),
        target=spec.target,
        args=spec.build_args,
        contexts=frozenset(spec.contexts),
        triggers=triggers,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Joint:
    """The parents and externals of a `Node`."""

    parents: Mapping[str, tuple[str, ...]]
    externals: tuple[External, ...]


def _join(name: str, recipe: Recipe, project: Project) -> _Joint:
    """Split the images that a recipe uses into those of the project and external ones."""
    parents: dict[str, tuple[str, ...]] = {}
    outside: list[External] = []
    problems: list[Problem] = []
    for external in recipe.externals:
        where = recipe.dockerfile.where(external.line)
        if external.name == SCRATCH:
            continue
        try:
            reference = Reference.parse(external.name)
        except ValueError as error:
            problems.append(Problem(what=str(error), where=where))
            continue
        if recipe.dockerfile.stage(context_key(external.name)):
            # BuildKit would build FROM the image and ignore the stage of that name.
            problems.append(
                Problem(
                    what=f"a stage has the name of the image {external.name}",
                    where=where,
                    hint=f"rename the stage, or write {reference.name}:{_OWN_TAGS[-1]} for the image",
                )
            )
        elif _is_ours(reference, name, project):
            image = reference.repository
            parents[image] = (*parents.get(image, ()), external.name)
        else:
            outside.append(external)
    ConfigError.check((*problems, *_mistaken(recipe, parents, outside)))
    return _Joint(parents=parents, externals=tuple(outside))


def _mistaken(
    recipe: Recipe, parents: Mapping[str, tuple[str, ...]], outside: Iterable[External]
) -> Iterator[Problem]:
    """Yield external images that BuildKit cannot tell from another image: both would be built on one."""
    known = {context_key(alias): alias for aliases in parents.values() for alias in aliases}
    for external in outside:
        other = known.setdefault(context_key(external.name), external.name)
        if other != external.name:
            yield Problem(
                what=f"{other} and {external.name} are one name to BuildKit",
                where=recipe.dockerfile.where(external.line),
                hint="write it in one way throughout the Dockerfile",
            )


def _is_ours(reference: Reference, image: str, project: Project) -> bool:
    """Whether a reference means a project image: a bare name, and not the image's own upstream."""
    if reference.host is not None or reference.digest is not None:
        return False
    known = reference.repository in project.images
    return known and (reference.repository != image or reference.tag in _OWN_TAGS)


def _triggers(read: Mapping[str, _Read], joint: _Joint) -> Mapping[str, tuple[Instruction, ...]]:
    """Return the ONBUILD instructions that an image inherits, by the names it uses for its parents."""
    return {
        alias: tuple(
            replace(each, origin=read[parent].recipe.dockerfile.where(each.line))
            for each in read[parent].recipe.triggers
        )
        for parent, aliases in joint.parents.items()
        for alias in aliases
        if parent in read and read[parent].recipe.triggers
    }


def _sorted(
    edges: Mapping[str, tuple[str, ...]], project: Project
) -> tuple[tuple[str, ...], tuple[Problem, ...]]:
    """Return the images in build order, alphabetical within a level, and a problem for each cycle.

    Images of a cycle are left out.
    """
    sorter = graphlib.TopologicalSorter(edges)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        path: list[str] = list(reversed(error.args[1]))
        cycle = Problem(
            what=f"images build on each other in a circle: {' -> '.join(path)}",
            where=project.images[path[0]].dockerfile_path,
            hint="let one of these Dockerfiles build FROM something else",
        )
        rest = {
            name: tuple(each for each in parents if each not in path)
            for name, parents in edges.items()
            if name not in path
        }
        found, cycles = _sorted(rest, project)
        return found, (cycle, *cycles)
    order: list[str] = []
    while ready := sorted(sorter.get_ready()):
        order += ready
        sorter.done(*ready)
    return tuple(order), ()


def _kind(spec: ImageSpec, recipe: Recipe, *, has_children: bool) -> str:
    """Return the declared kind, else ``base`` if others build on it or it has that name and no handler."""
    if spec.kind is not None:
        return spec.kind
    lone_base = spec.name.startswith("base") and not recipe.command
    return "base" if has_children or lone_base else "lambda"
