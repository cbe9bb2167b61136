"""Placeholders in the context: git-lfs pointers, submodules, links to nothing, empty folders."""

from __future__ import annotations

import posixpath
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

from lamina.identify.readings import Readings
from lamina.identify.wildcard import is_wildcard
from lamina.patterns import regex
from lamina.preflight.fault import Fault, Rule
from lamina.preflight.view import ImageView

POINTER = Rule(
    id="LAM645",
    slug="pointer",
    summary="a git-lfs pointer, an empty submodule or a link to nothing that a COPY takes",
    why="the checkout lacks the content, so the image gets a placeholder",
    logs=(
        r"version https://git-lfs\.github\.com/spec",
        r"invalid load key, 'v'",
        r"from '[\w.]+' \(unknown location\)",
    ),
    advice="git lfs pull, git submodule update --init, or run the step that makes the files",
)
RULES = (POINTER,)
_LFS = regex(rb"version https://git-lfs\.github\.com/spec/v\d+\n(?:.*\n)*?size (\d+)")
_SIZES = range(100, 400)
"""Bytes of a pointer file."""
_NEVER_LFS = (".py", ".pyi", ".toml", ".cfg", ".ini", ".sh", ".md", ".yml", ".yaml", ".typed", ".lock")
_SUBMODULE = regex(r"^\s*path\s*=\s*(\S+)", re.MULTILINE)


def pointer_faults(view: ImageView) -> Iterator[Fault]:
    """Yield placeholders that reach the image."""
    suspects = {
        f"{view.image.root(context)}/{file.path}": file.kind
        for context, held in view.image.contexts.items()
        for file in held.files
        if file.kind == "link" or (file.size in _SIZES and not file.path.endswith(_NEVER_LFS))
    }
    shipped = frozenset(view.layout.files.values()) if suspects else frozenset()
    for origin, kind in suspects.items():
        if origin in shipped and kind in {"file", "exec"}:
            yield from _lfs(view, origin)
        elif origin in shipped and kind == "link":
            yield from _dangling(view, origin)
    yield from _empty(view)


def _lfs(view: ImageView, origin: str) -> Iterator[Fault]:
    found = _LFS.match(view.content(origin) or b"")
    if found:
        shown = view.shown(origin)
        yield view.fault(
            POINTER,
            file=shown,
            message=f"{shown} is a git-lfs pointer: {_size(int(found[1]))} are missing in {view.name}",
            hint="git lfs pull",
            certainty="likely",
            unless="the function reads the pointer itself",
        )


def _size(number: int) -> str:
    return f"{number / 1e6:.0f} MB" if number >= 1e6 else f"{number / 1e3:.1f} kB"


def _dangling(view: ImageView, origin: str) -> Iterator[Fault]:
    target = view.readings.target(origin) or "/"
    if target.startswith("/") or view.readings.exists(origin):
        return
    shown = view.shown(origin)
    yield view.fault(
        POINTER,
        file=shown,
        message=f"{shown} is a link to {target}, which does not exist",
        hint="make the file, or remove the link",
        certainty="likely",
        unless="the link leads to a file that only the image has",
    )


def _empty(view: ImageView) -> Iterator[Fault]:
    """Yield folders that a COPY names and that hold nothing: submodules that are not checked out."""
    paths = [each.path for each in view.image.contexts[""].files]
    root = view.image.root("")
    for source in view.image.node.recipe.sources:
        for written in source.paths or ():
            path = posixpath.normpath(f"/{written}").lstrip("/")
            if source.context or source.excludes or is_wildcard(written) or not _is_bare(path, paths):
                continue
            if not view.readings.is_empty(str(root / path)):
                continue
            module = _is_submodule(view.readings, root, path)
            yield view.fault(
                POINTER,
                file=view.image.project_path(path),
                message=f"{view.image.project_path(path)} is "
                + ("a submodule that is not checked out" if module else "an empty folder")
                + f", and {view.file}:{source.line} copies it",
                hint="git submodule update --init" if module else "run the step that makes its files",
                certainty="likely",
                unless="it is meant to be empty",
            )


def _is_bare(path: str, paths: Sequence[str]) -> bool:
    """Whether a path is among sorted ones, and none of them is below it."""
    below = f"{path}/"
    return _first_from(path, paths) == path and not (_first_from(below, paths) or "").startswith(below)


def _first_from(start: str, paths: Sequence[str]) -> str | None:
    index = bisect_left(paths, start)
    return paths[index] if index < len(paths) else None


def _is_submodule(readings: Readings, root: Path, path: str) -> bool:
    """Whether the nearest ``.gitmodules`` above names a folder."""
    for folder in (root, *root.parents):
        content = readings.content(str(folder / ".gitmodules"))
        if content is not None:
            names = _SUBMODULE.findall(content.decode("utf-8", "replace"))
            return (root / path).relative_to(folder).as_posix() in names
        if readings.exists(str(folder / ".git")):
            return False
    return False
