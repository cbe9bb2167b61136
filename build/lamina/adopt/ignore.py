"""The ignore files of images: what each would be, what it spares, and putting it in place."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from lamina.adopt.allowlist import Reader, is_generated, make_allow_list
from lamina.adopt.ignore_file import IgnoreFile
from lamina.adopt.stale_rules import find_rot
from lamina.adopt.unfiltered import ContextFiles, unfiltered_files
from lamina.declare.graph import Node
from lamina.errors import ConfigError, Problem
from lamina.files import write_atomic
from lamina.flow.session import Session
from lamina.identify.ignore import Ignore
from lamina.identify.image import DOCKERIGNORE, read_ignore


def read_ignore_files(session: Session) -> tuple[IgnoreFile, ...]:
    """The ignore files of the selected images, one a Dockerfile. Raises ConfigError for malformed ones."""
    nodes = session.graph.nodes
    chosen = {nodes[name].spec.dockerfile for name in session.graph.select(session.flags.images)}
    groups: dict[Path, list[Node]] = {}
    for node in nodes.values():  # a file serves all images of its Dockerfile
        if node.spec.dockerfile in chosen:
            groups.setdefault(node.spec.dockerfile, []).append(node)
    problems: list[Problem] = []
    found: list[IgnoreFile] = []
    offers: dict[tuple[Path, Ignore], ContextFiles] = {}
    for group in groups.values():
        try:
            found.append(_ignore_file(session, group, offers))
        except ConfigError as error:
            problems += error.problems
    ConfigError.check(problems)
    return tuple(found)


def _ignore_file(
    session: Session, nodes: list[Node], offers: dict[tuple[Path, Ignore], ContextFiles]
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
    return IgnoreFile(
        images=tuple(node.name for node in nodes),
        file=file,
        path=path,
        text=text,
        made=made,
        before=_offer(session, roots, now, offers),
        after=_offer(session, roots, made.rules, offers),
        problems=tuple(find_rot(path, text, now, readers, made, generated=generated)),
    )


def _reader(session: Session, node: Node) -> Reader:
    root = node.spec.context

    def read(path: str) -> bytes | None:
        try:
            return (root / path).read_bytes()
        except OSError:
            return None

    return Reader(files=session.stat_cache.files(root), recipe=node.recipe, read=read)


def _offer(
    session: Session, roots: Iterable[Path], rules: Ignore, offers: dict[tuple[Path, Ignore], ContextFiles]
) -> ContextFiles:
    found = []
    for root in sorted(roots):
        if (root, rules) not in offers:
            offers[root, rules] = unfiltered_files(session.stat_cache.files(root), rules)
        found.append(offers[root, rules])
    return found[0] if len(found) == 1 else ContextFiles(dict(chain(*(each.files.items() for each in found))))


def write_ignore_files(found: Iterable[IgnoreFile]) -> tuple[str, ...]:
    """Write those that can be; their paths."""
    written = [each for each in found if each.writable]
    for each in written:
        write_atomic(each.file, each.made.text.encode("utf-8", "surrogateescape"))
    return tuple(each.path for each in written)
