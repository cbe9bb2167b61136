"""Find contexts that are larger than intended, and the files that make them so. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush

from lamina.errors import Problem
from lamina.identify.context import ContextFile
from lamina.identify.image import DOCKERIGNORE, Image
from lamina.identify.tree import shown

HEAVY = 50_000_000
"""Bytes. Source is a few megabytes; ten times that is a dataset, an archive or a build's output in a COPY."""
_LEAST_MEGABYTES = 100_000
_NAMED = 3
_SMALL = 100  # parts below a hundredth of the whole are not worth naming


def heavy_contexts(images: Mapping[str, Image]) -> Iterator[Problem]:
    """Yield a note for each context above `HEAVY` bytes: its size and the largest folders or files."""
    for image in images.values():
        for name, context in image.contexts.items():
            if context.size <= HEAVY:
                continue
            spec = image.node.spec
            beside = f"{image.root(name)}/{DOCKERIGNORE}" if name else spec.dockerfile_path + DOCKERIGNORE
            place = f"the context {name}" if name else "the context"
            parts = (
                f"{shown(path)} {megabytes(size)}"
                for path, size in heaviest(context.files, _NAMED)
                if size * _SMALL >= context.size
            )
            yield Problem(
                what=f"{image.name} takes {megabytes(context.size)} from {place}: {', '.join(parts)}",
                where=spec.dockerfile_path,
                hint=f"ignore the files it does not need in {context.ignore.source or beside}",
            )


def heaviest(files: Iterable[ContextFile], count: int) -> list[tuple[str, int]]:
    """Return the largest paths and their bytes, none below another.

    A folder is replaced by its parts if one of them is at least half of it.
    """
    weights, parts = weigh((file.path, file.size) for file in files)
    return pick_heaviest(weights, parts, count)


def weigh(files: Iterable[tuple[str, int]]) -> tuple[Mapping[str, int], Mapping[str, set[str]]]:
    """Return the bytes of every file and folder, and each folder's direct entries; the root is ``""``."""
    weights: Counter[str] = Counter()
    parts: defaultdict[str, set[str]] = defaultdict(set)
    for file, size in files:
        path, above = file, file.rpartition("/")[0]
        weights[path] += size
        while path:
            parts[above].add(path)
            if above:
                weights[above] += size
            path, above = above, above.rpartition("/")[0]
    return weights, parts


def pick_heaviest(
    weights: Mapping[str, int], parts: Mapping[str, set[str]], count: int
) -> list[tuple[str, int]]:
    """Return the same as `heaviest`, from the results of `weigh`."""
    waiting = [(-weights[path], path) for path in parts.get("", ())]
    heapify(waiting)
    found: list[tuple[str, int]] = []
    while waiting and len(found) < count:
        weight, path = heappop(waiting)
        inside = [(-weights[each], each) for each in parts.get(path, ())]
        if inside and 2 * min(inside)[0] <= weight:
            for each in inside:
                heappush(waiting, each)
        elif weight:
            found.append((path, -weight))
    return found


def megabytes(size: int) -> str:
    """Format bytes as ``312.4 MB``."""
    return f"{size / 1e6:.1f} MB"


def amount(size: int) -> str:
    """Format bytes as ``312.4 MB``, or as ``1.2 kB`` below a tenth of a megabyte."""
    return megabytes(size) if size >= _LEAST_MEGABYTES else f"{size / 1e3:.1f} kB"
