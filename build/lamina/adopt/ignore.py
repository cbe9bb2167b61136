"""The ignore files of images: the generated text, its effect on the context, and writing it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from lamina.adopt.allowlist import Reader, is_generated, make_allow_list
from lamina.adopt.ignore_file import IgnoreFile
from lamina.adopt.stale_rules import find_stale_rules
from lamina.decide.unfiltered import ContextFiles, unfiltered_files
from lamina.declare.graph import Node
from lamina.errors import ConfigError, Problem
from lamina.files import write_atomic
from lamina.flow.session import Session
from lamina.identify.excludes import with_defaults
from lamina.identify.ignore import Ignore
from lamina.identify.image import DOCKERIGNORE, read_ignore


def read_ignore_files(session: Session) -> tuple[IgnoreFile, ...]:
    """Return the ignore files of the selected images, one per Dockerfile. Raises ConfigError if malformed."""
    nodes = session.graph.nodes
    chosen = {nodes[name].spec.dockerfile for name in session.graph.select(session.flags.images)}
    groups: dict[Path, list[Node]] = {}
    for node in nodes.values():  # one file serves all images of its Dockerfile
        if node.spec.dockerfile in chosen:
            groups.setdefault(node.spec.dockerfile, []).append(node)
    problems: list[Problem] = []
    found: list[IgnoreFile] = []
    weighed: dict[tuple[Path, Ignore], ContextFiles] = {}
    for group in groups.values():
        try:
            found.append(_ignore_file(session, group, weighed))
        except ConfigError as error:
            problems += error.problems
    ConfigError.check(problems)
    return tuple(found)


def _ignore_file(
    session: Session, nodes: list[Node], weighed: dict[tuple[Path, Ignore], ContextFiles]
) -> IgnoreFile:
    spec = nodes[0].spec
    file = spec.dockerfile.with_name(spec.dockerfile.name + DOCKERIGNORE)
    path = spec.dockerfile_path + DOCKERIGNORE
    text = file.read_bytes().decode("utf-8", "surrogateescape") if file.is_file() else None
    generated = is_generated(text or "")
    now = read_ignore(spec)
    readers = tuple(_reader(session, node) for node in nodes)
    made = make_allow_list(readers, now, generated=generated, name=path)
    roots = {node.spec.context for node in nodes}
    sources = tuple(source for node in nodes for source in node.recipe.sources)
    return IgnoreFile(
        images=tuple(node.name for node in nodes),
        file=file,
        path=path,
        text=text,
        made=made,
        before=_context_files(session, roots, with_defaults(now, sources), weighed),
        after=_context_files(session, roots, with_defaults(made.rules, sources), weighed),
        problems=tuple(find_stale_rules(path, text, now, readers, made, generated=generated)),
    )


def _reader(session: Session, node: Node) -> Reader:
    root = node.spec.context

    def read(path: str) -> bytes | None:
        try:
            return (root / path).read_bytes()
        except OSError:
            return None

    return Reader(files=session.stat_cache.files(root), recipe=node.recipe, read=read)


def _context_files(
    session: Session, roots: Iterable[Path], rules: Ignore, weighed: dict[tuple[Path, Ignore], ContextFiles]
) -> ContextFiles:
    found = []
    for root in sorted(roots):
        if (root, rules) not in weighed:
            weighed[root, rules] = unfiltered_files(session.stat_cache.files(root), rules)
        found.append(weighed[root, rules])
    return found[0] if len(found) == 1 else ContextFiles(dict(chain(*(each.files.items() for each in found))))


def write_ignore_files(found: Iterable[IgnoreFile]) -> tuple[str, ...]:
    """Write the writable files; return their paths."""
    written = [each for each in found if each.writable]
    for each in written:
        write_atomic(each.file, each.made.text.encode("utf-8", "surrogateescape"))
    return tuple(each.path for each in written)
