"""Bring a project to another version of a requirement: locks, files of requirements, pins."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from lamina.bump import python, requirement
from lamina.bump.files import ProjectFiles, by_hand
from lamina.bump.requirement import Target
from lamina.bump.wheels import base_of, system_of
from lamina.declare.uv_lock import UnusualLockError, read_uv_lock
from lamina.errors import ConfigError, Problem, SelectionError, meant
from lamina.identify.fingerprint import distribution


def to_requirement(files: ProjectFiles, target: Target) -> Target:
    """Edit all files for another version of a requirement; return which."""
    name = target.name
    plain = [path for path in (*files.projects, *files.listings) if path not in files.generated]
    exact = [path for path in plain if any(requirement.pins(files.copy.read(path), name))]
    recipes = files.dockerfiles()
    written = [path for path, each in recipes.items() if any(requirement.pins(each.text, name))]
    locks = [path for path in files.locks if name in _locked(files.copy.read(path))]
    compiled = [path for path in files.generated if any(requirement.pins(files.copy.read(path), name))]
    if not (exact or written or locks or compiled):
        known = {name for path in files.locks for name in _locked(files.copy.read(path))}
        known |= {
            distribution(line)
            for image in files.images.values()
            for lines in image.inputs.requirements.values()
            for line in lines
        }
        raise SelectionError.of(
            f"no file of the project pins {name}{meant(name, known)}",
            where="lamina bump",
            allowed="what a uv.lock, a file of requirements, a pyproject.toml or a Dockerfile pins",
        )
    ConfigError.check(_unchangeable(files, (*exact, *compiled)))
    if target.version is None and (exact or written):
        target = replace(target, version=_newest(files, name))
    if target.version is not None:
        version = target.version
        for path in exact:
            files.edit(path, lambda text: requirement.pinned(text, name, version))
        for path in written:
            files.copy.write(path, requirement.pinned_in_dockerfile(recipes[path], name, version))
    for lock in locks:
        files.copy.uv(
            posixpath.dirname(lock), "lock", "--quiet", "--upgrade-package", target.written, writes=lock
        )
    for path in compiled:
        command = files.generated[path].command
        exports = command.startswith("uv export")
        files.compile(path, command, *(() if exports else ("--upgrade-package", target.written)))
    return target


def _locked(text: str) -> Collection[str]:
    try:
        return {distribution(line) for line in read_uv_lock(text).all_pinned()}
    except UnusualLockError:
        return ()


def _unchangeable(files: ProjectFiles, paths: Iterable[str]) -> Iterator[Problem]:
    """Yield the files with a pin that cannot be changed by uv or in place."""
    for path in paths:
        made = files.generated.get(path)
        if made is not None and made.words is None:
            yield by_hand(path, made)
        elif made is None and requirement.has_hashes(files.copy.read(path)):
            yield Problem(
                what="has hashes, and no header says how they were made",
                where=path,
                hint="make it by uv pip compile --generate-hashes",
            )


def _newest(files: ProjectFiles, name: str) -> str:
    """Return the newest version of a requirement that the oldest Python of the images takes."""
    bases = [
        (base, image) for image in files.images.values() if (base := base_of(files.images, image)).python
    ]
    options: tuple[str, ...] = ()
    if bases:
        base, image = min(bases, key=lambda each: each[0].python or (0, 0))
        options = ("--python-version", python.text_of(base.python or (0, 0)), "--python-platform")
        options += (system_of(base, image.node.recipe.platform),)
    words = ("pip", "compile", "--quiet", "--no-deps", "--no-header", "--no-annotate", *options, "-")
    printed = files.copy.uv("", *words, writes="", stdin=f"{name}\n")
    found = next(iter(requirement.pins(printed, name)), None)
    if found is None:
        raise ConfigError.of(
            f"uv names no version of {name}", where="uv pip compile", hint=f"{name}==VERSION"
        )
    return found
