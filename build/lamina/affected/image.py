"""An image that a change concerns. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lamina.identify.image import Image

How = Literal["build", "retag", "skip", "changed", "added", "removed"]
_PROJECTS = ("pyproject.toml", "setup.py", "setup.cfg")
_WILD = frozenset("*?[")


@dataclass(frozen=True, slots=True, kw_only=True)
class AffectedImage:
    """An image with why it is affected.

    Attributes:
        how: what a plan does with it, or how it differs from the other commit.
        reasons: lines for people.
        functions: names or ARNs of the functions that run it.
        parents: the bases that are images of the project.
        folders: relative to the project: those it is built from, and its Dockerfile's.
        seconds: that its build took lately; None if unknown.
    """

    name: str
    how: How
    reasons: tuple[str, ...]
    kind: str = ""
    platform: str = ""
    functions: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    seconds: float | None = None

    @classmethod
    def of(
        cls, image: Image, how: How, reasons: Iterable[str], seconds: Mapping[str, float]
    ) -> AffectedImage:
        """Return an image of the worktree. seconds: image -> how long its builds took."""
        return cls(
            name=image.name,
            how=how,
            reasons=tuple(reasons),
            kind=image.node.kind,
            platform=image.node.spec.platform,
            functions=tuple(map(str, image.node.spec.functions)),
            parents=tuple(image.inputs.parents),
            folders=folders_of(image),
            seconds=seconds.get(image.name),
        )


def folders_of(image: Image) -> tuple[str, ...]:
    """Return the folders of the project that an image is built from, its Dockerfile's included.

    A copied folder counts as it is, a copied file with its folder. Of a COPY of the whole context count the
    folders of its packages, else the top folders of its files.
    """
    found = {posixpath.dirname(image.node.spec.dockerfile_path)}
    files = image.inputs.files.get("", {})
    for source in image.node.recipe.sources:
        if source.context is None:
            for path in source.paths if source.paths is not None else (".",):
                found.update(image.project_path(each) for each in _folders(path, files))
    return tuple(sorted({posixpath.normpath(each or ".") for each in found}))


def waves(images: Sequence[AffectedImage]) -> Mapping[str, int]:
    """Return image -> how many images of the list have to be built one after the other before it."""
    depth: dict[str, int] = {}
    for each in images:  # bases come first
        depth[each.name] = 1 + max((depth[name] for name in each.parents if name in depth), default=-1)
    return depth


def _folders(path: str, files: Mapping[str, str]) -> Iterator[str]:
    path = posixpath.normpath(path).lstrip("/")
    if path == "." or not _WILD.isdisjoint(path):
        projects = {posixpath.dirname(each) for each in files if posixpath.basename(each) in _PROJECTS}
        yield from {_owner(each, projects) for each, state in files.items() if state[0] != "d"}
    elif files.get(path, "d")[0] == "d":
        yield path
    else:
        yield posixpath.dirname(path)


def _owner(path: str, projects: set[str]) -> str:
    """Return the folder of the nearest project above a file, else the top folder that it is in."""
    folder = posixpath.dirname(path)
    while folder:
        if folder in projects:
            return folder
        folder = posixpath.dirname(folder)
    return path.split("/")[0] if "/" in path else ""
