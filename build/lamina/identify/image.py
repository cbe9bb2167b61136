"""An identified image: its node in the graph, its files, build inputs and content tag."""

from __future__ import annotations

import os
import posixpath
import tomllib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.declare.config import ImageSpec, Project
from lamina.declare.graph import Graph, Node
from lamina.declare.lockfile import UV_LOCK
from lamina.errors import ConfigError, LaminaError, Problem
from lamina.identify.context import Context, ContextFile, SharedFolders, select
from lamina.identify.derived import Derived
from lamina.identify.fingerprint import (
    BuildInputs,
    content_tag,
    declares_requirements,
    distribution,
    make_build_inputs,
    read_requirements,
)
from lamina.identify.ignore import EMPTY, Ignore
from lamina.identify.tree import DiskFiles, Files
from lamina.json_data import as_texts
from lamina.refs import Reference
from lamina.values import dataclass

if TYPE_CHECKING:
    from lamina.identify.explain import InputChange

STABLE = "stable"
_DECLARING = (".toml", ".txt", ".in", UV_LOCK)
"""Ends of the names of files that may declare requirements: most files are not looked at further."""
DOCKERIGNORE = ".dockerignore"
_PYPROJECT = "pyproject.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image and everything it is built from now.

    Attributes:
        contexts: The main context under the empty string, and the named ones that the Dockerfile reads.
    """

    node: Node
    contexts: Mapping[str, Context]
    inputs: BuildInputs
    fingerprint: str
    repository: Reference

    @property
    def name(self) -> str:
        """The image's name."""
        return self.node.name

    @property
    def tag(self) -> str:
        """The content tag of the fingerprint."""
        return content_tag(self.fingerprint)

    @property
    def ref(self) -> Reference:
        """The repository with the content tag."""
        return self.repository.with_tag(self.tag)

    @property
    def ignores(self) -> Mapping[str, Ignore]:
        """Context name -> its ignore rules."""
        return {name: context.ignore for name, context in self.contexts.items()}

    def root(self, context: str) -> Path:
        """Return the folder of a context."""
        return self.node.spec.contexts[context] if context else self.node.spec.context

    def changes_since(self, before: BuildInputs) -> tuple[InputChange, ...]:
        """Return every reason why the image differs from one with other build inputs."""
        from lamina.identify.explain import differences  # most images are as they were

        return differences(before, self.inputs, self.ignores, folder=self.node.spec.context_path)

    def project_path_of(self, origin: str) -> str:
        """Return an absolute path relative to the project, for messages."""
        return posixpath.normpath(self.project_path(self.in_context(origin)))

    def in_context(self, origin: str) -> str:
        """Return an absolute path relative to the main context."""
        return os.path.relpath(origin, self.root("")).replace(os.sep, "/")

    def project_path(self, path: str) -> str:
        """Return a path of the main context relative to the project, for messages."""
        return posixpath.join(self.node.spec.context_path, path)


def identify(
    project: Project,
    graph: Graph,
    names: Iterable[str],
    *,
    prefix: str,
    bases: Mapping[str, Mapping[str, str]],
    stable: Mapping[str, str] | None = None,
    files: Callable[[Path], Files] = DiskFiles,
    derived: Derived | None = None,
) -> tuple[Mapping[str, Image], tuple[Problem, ...]]:
    """Read the files of the named images and their ancestors and compute their fingerprints, bases first.

    Args:
        prefix: Registry host and path with a trailing slash, or empty.
        bases: Image -> external image -> identity. A missing identity counts as ``unlocked``.
        stable: In static mode, base -> digest of its ``stable`` tag where known. Lambda images then depend
            on that tag, and bases are neither read nor hashed unless named.
        files: Opens a folder.
        derived: What earlier commands derived from files.

    Returns:
        The images that can be read, and the problems of the others. If there are any, images may lack a
        parent, so their fingerprints must not be used.
    """
    selected = set(names)
    rooted = [name for name in selected if stable is None or graph.nodes[name].kind == "base"]
    selected |= set(graph.with_ancestors(rooted))
    images: dict[str, Image] = {}
    problems: list[Problem] = []
    derived = derived or Derived()
    shared = SharedFolders()
    for name in graph.nodes:
        if name not in selected:
            continue
        node = graph.nodes[name]
        try:
            contexts = _contexts(node, files, shared, derived)
        except LaminaError as error:
            problems += error.problems
            continue
        if stable is not None and node.kind == "lambda":
            parents = {parent: stable.get(parent, STABLE) for parent in node.parents}
        else:
            parents = {parent: images[parent].fingerprint for parent in node.parents if parent in images}
        inputs = make_build_inputs(
            node.recipe,
            contexts,
            bases={each.name: bases.get(name, {}).get(each.name, "unlocked") for each in node.externals},
            parents=parents,
            requirements=_requirements(node, contexts[""], derived),
        )
        images[name] = Image(
            node=node,
            contexts=contexts,
            inputs=inputs,
            fingerprint=inputs.fingerprint,
            repository=Reference.parse(prefix + project.repository(name)),
        )
    return images, tuple(problems)


def _contexts(
    node: Node, files: Callable[[Path], Files], shared: SharedFolders, derived: Derived
) -> Mapping[str, Context]:
    """Select the files of the main context and of each named one that is read, with their ignore files."""
    read = {source.context for source in node.recipe.sources}
    named = {}
    for name, folder in node.spec.contexts.items():
        if name not in read:
            continue
        ignore = _first_ignore((folder / DOCKERIGNORE, f"{name}:{DOCKERIGNORE}"), read=shared.rules)
        named[name] = select(files(folder), node.recipe, ignore, name=name, shared=shared)
    root = node.spec.context
    main = select(files(root), node.recipe, read_ignore(node.spec, shared.rules), shared=shared)
    if any(path.endswith(UV_LOCK) for each in node.recipe.sources for path in each.paths or ()):
        from lamina.identify.excerpt import with_excerpts

        main = with_excerpts(main, node.recipe, lambda path: (root / path).read_bytes(), derived)
    return {"": main, **named}


def read_ignore(spec: ImageSpec, read: Callable[[bytes, str], Ignore] = Ignore.parse) -> Ignore:
    """Read the ignore file that BuildKit uses: ``<Dockerfile>.dockerignore``, else the context's own."""
    beside = spec.dockerfile.with_name(spec.dockerfile.name + DOCKERIGNORE)
    return _first_ignore(
        (beside, spec.dockerfile_path + DOCKERIGNORE), (spec.context / DOCKERIGNORE, DOCKERIGNORE), read=read
    )


def _first_ignore(*places: tuple[Path, str], read: Callable[[bytes, str], Ignore]) -> Ignore:
    """Read the first ignore file that exists. Each place is a path and its name in messages."""
    for file, shown in places:
        try:
            return read(file.read_bytes(), shown)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ConfigError.of(f"cannot be read: {error.strerror}", where=shown) from None
    return EMPTY


def _requirements(node: Node, context: Context, derived: Derived) -> Mapping[str, tuple[str, ...]]:
    """Return the requirements that a context's files declare, by path."""
    found: dict[str, tuple[str, ...]] = {}
    for file in context.files:
        if not file.path.endswith(_DECLARING) or file.kind not in {"file", "exec"}:
            continue
        if (reader := _reader(node, file)) is not None:
            how, read = reader
            try:
                lines = derived.value(how, file.sha256, partial(_content, node, file), read)
            except OSError:
                continue
            if lines is not None:
                found[file.path] = as_texts(lines)
    return found


def _content(node: Node, file: ContextFile) -> bytes:
    """Read what counts of a file."""
    content = (node.spec.context / file.path).read_bytes()
    return file.excerpt(content) if file.excerpt else content


def _reader(node: Node, file: ContextFile) -> tuple[str, Callable[[bytes], tuple[str, ...] | None]] | None:
    """Return what reads the requirements of a file, and its name; None if the file has none by its name."""
    if declares_requirements(file.path):
        return f"requirements of {posixpath.basename(file.path)}", partial(read_requirements, file.path)
    if posixpath.basename(file.path) != UV_LOCK:
        return None
    from lamina.identify.excerpt import locked_requirements, selection_from

    chosen, whole = selection_from(node.recipe, file), file.excerpt is None
    how = f"requirements for {chosen.how if chosen else 'all'}{', whole' if whole else ''}"
    return how, partial(locked_requirements, chosen, whole=whole)


def local_names(images: Iterable[Image]) -> frozenset[str]:
    """Return normalised names of the Python projects in the images' contexts. They are not on an index."""
    files = {image.root("") / path for image in images for path in image.inputs.requirements}
    return frozenset(filter(None, (_project_name(file) for file in files if file.name == _PYPROJECT)))


def _project_name(file: Path) -> str | None:
    try:
        return distribution(tomllib.loads(file.read_text("utf-8"))["project"]["name"])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError):
        return None
