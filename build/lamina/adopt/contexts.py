"""Find the build context of a Dockerfile: the smallest folder above it that contains all its sources."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lamina.declare.recipe import Recipe, SourceFiles
from lamina.identify.copy_sources import rooted
from lamina.identify.goregexp import PatternError
from lamina.identify.wildcard import compile_wildcard, fixed_part, is_wildcard

_PROJECTS = (
    *("pyproject.toml", "requirements.txt", "package.json", "pom.xml", "build.gradle", "build.gradle.kts"),
    *("go.mod", "Cargo.toml", "Gemfile", "composer.json"),
)
"""Files in the folder of a project, where its build leaves what a Dockerfile copies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextChoice:
    """A context.

    Attributes:
        folder: relative to the repository.
        others: alternatives.
        missing: sources not in it.
    """

    folder: str
    others: tuple[str, ...] = ()
    missing: tuple[tuple[SourceFiles, str], ...] = ()


def find_context(root: Path, dockerfile: str, recipe: Recipe) -> ContextChoice:
    """Return the folder that contains the sources of a Dockerfile, or the one that lacks the fewest."""
    lacking = {folder: tuple(_missing(root / folder, recipe)) for folder in _way(dockerfile)}
    # A Dockerfile's folder often has the name of the package it copies: a name alone is not a source.
    fit = [folder for folder, missing in lacking.items() if not missing]
    if fit:
        return ContextChoice(folder=fit[-1], others=tuple(fit[:-1]))
    fewest = min(map(len, lacking.values()))
    equal = [folder for folder, missing in lacking.items() if len(missing) == fewest]
    projects = [folder for folder in equal if any((root / folder / name).is_file() for name in _PROJECTS)]
    best = projects[-1] if projects and len(equal) == len(lacking) else equal[0]
    return ContextChoice(folder=best, missing=lacking[best])


def fits(root: Path, folder: str, recipe: Recipe) -> bool:
    """Whether a folder of the repository contains all sources of a Dockerfile."""
    return not any(True for _ in _missing(root / folder, recipe))


def _way(dockerfile: str) -> Iterator[str]:
    """Yield the folders from the repository's root down to the Dockerfile."""
    yield "."
    parts = posixpath.dirname(dockerfile).split("/")
    yield from ("/".join(parts[: count + 1]) for count in range(len(parts)) if parts[0])


def _missing(folder: Path, recipe: Recipe) -> Iterator[tuple[SourceFiles, str]]:
    for source in recipe.sources:
        for path in source.paths or () if source.context is None else ():
            if not _is_there(folder, source, rooted(path.replace("/./", "/"))):
                yield source, path


def _is_there(folder: Path, source: SourceFiles, path: str) -> bool:
    if source.instruction == "RUN" or not is_wildcard(path):
        return _holds_something(folder / path)
    fixed = fixed_part(path)
    try:
        pattern = compile_wildcard(path[len(fixed) :].lstrip("/"), deep=source.parents)
    except PatternError:
        return True  # the plan reports it for any context
    start = folder / fixed
    depth = "*/" * path[len(fixed) :].lstrip("/").count("/") + "*"
    return any(pattern.fullmatch(each.relative_to(start).as_posix()) for each in start.glob(depth))


def _holds_something(folder: Path) -> bool:
    """Whether the path is a file, or a folder with more than Dockerfiles and ignore files."""
    if not folder.is_dir():
        return folder.exists()
    return any(
        "dockerfile" not in each.name.lower() for each in folder.iterdir() if each.name != ".dockerignore"
    )
