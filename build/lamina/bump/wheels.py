"""Which pinned packages lack a wheel for the Python and the machine of the images that install them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lamina.bump.copy import NoSolutionError, ProjectCopy
from lamina.bump.python import text_of
from lamina.declare.lockfile import UV_LOCK
from lamina.declare.machine import family
from lamina.declare.uv_lock import UnusualLockError, read_uv_lock
from lamina.identify.excerpt import selection_from
from lamina.identify.image import Image
from lamina.lint.survey import bottom
from lamina.preflight.bases import Base, read_base
from lamina.preflight.wheels import MACHINES, chosen

_GLIBC = (17, 28, 31)
"""Versions of glibc (2.x) for which uv has a platform, and which bases of Lambda have at least."""
_EXACT = re.compile(r"[A-Za-z0-9][\w.-]*(?:\[[\w,.-]+\])?==[\w.!+-]+(?=\s|;|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingWheel:
    """A pinned package without a wheel. pin: ``numpy==1.26.4``. file: that pins it."""

    pin: str
    file: str
    python: str
    platform: str
    images: tuple[str, ...]
    source: bool
    """Whether it has a source archive, from which the build makes a wheel."""

    def __str__(self) -> str:
        then = "it is built from source" if self.source else "and it has no source either"
        return f"{self.pin} has no wheel for Python {self.python} on {self.platform}: {then}"


def base_of(images: Mapping[str, Image], image: Image) -> Base:
    """Return the image outside the project that an image is based on."""
    name = bottom(image)
    parents = (images[one] for one, names in image.node.parents.items() if name in names and one in images)
    parent = next(parents, None)
    return read_base(name) if parent is None else base_of(images, parent)


def system_of(base: Base, platform: str) -> str:
    """Return the newest system of uv's for which archives also run on a base."""
    minor = base.glibc[1] if base.glibc else _GLIBC[0]
    return f"{MACHINES.get(family(platform), 'x86_64')}-manylinux_2_{max(m for m in _GLIBC if m <= minor)}"


def missing_in_locks(images: Mapping[str, Image]) -> Iterator[MissingWheel]:
    """Yield what the locks of uv pin for images, and has no wheel for them. Asks nobody."""
    found: defaultdict[tuple[str, str, str, str, bool], list[str]] = defaultdict(list)
    for name, image in images.items():
        base, machine = base_of(images, image), MACHINES.get(family(image.node.recipe.platform), "")
        if base.python is None or (base.glibc is None and base.system != "alpine"):
            continue
        for file in image.contexts[""].files:
            if file.path.rpartition("/")[2] != UV_LOCK:
                continue
            selection = selection_from(image.node.recipe, file)
            try:
                text = (image.root("") / file.path).read_text("utf-8")
                archives = read_uv_lock(text).archives(selection)
            except (OSError, UnicodeDecodeError, UnusualLockError):
                continue
            for pin, each in archives.items():
                if _lacks(each, base, machine):
                    source = any(not one.endswith(".whl") for one in each)
                    shown = image.project_path(file.path)
                    python = text_of(base.python)
                    found[(pin, shown, python, image.node.recipe.platform, source)].append(name)
    for (pin, path, python, platform, source), names in sorted(found.items()):
        yield MissingWheel(
            pin=pin, file=path, python=python, platform=platform, images=tuple(names), source=source
        )


def _lacks(archives: tuple[str, ...], base: Base, machine: str) -> bool:
    """Whether a package has wheels for Linux, and none that fits."""
    linux = any("linux" in each.rpartition("-")[2] for each in archives if each.endswith(".whl"))
    return linux and chosen(archives, base, machine) is None


def missing_in_requirements(
    copy: ProjectCopy, images: Mapping[str, Image], paths: Iterable[str]
) -> Iterator[MissingWheel]:
    """Yield what files of requirements pin, and has no wheel for the images that have them. Asks the index.

    Raises:
        ConfigError: uv or its Python is not there.
        RegistryError: the index does not answer.
    """
    for path in paths:
        readers: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
        for name, image in images.items():
            base, platform = base_of(images, image), image.node.recipe.platform
            used = {image.project_path(each) for each in image.inputs.requirements}
            if path in used and base.python is not None and base.glibc is not None:
                readers[(text_of(base.python), platform, system_of(base, platform))].append(name)
        lines = [found.group() for line in copy.read(path).splitlines() if (found := _EXACT.match(line))]
        for (python, platform, system), names in sorted(readers.items()):
            for line in lines if not _all_have(copy, lines, python, system) else ():
                if not _all_have(copy, [line], python, system):
                    yield MissingWheel(
                        pin=line,
                        file=path,
                        python=python,
                        platform=platform,
                        images=tuple(names),
                        source=True,
                    )


def _all_have(copy: ProjectCopy, lines: list[str], python: str, system: str) -> bool:
    """Whether all of these requirements have a wheel. system: as uv names it."""
    options = ("--no-deps", "--only-binary", ":all:", "--no-header", "--quiet", "-")
    try:
        copy.uv(
            "",
            *("pip", "compile", "--python-version", python, "--python-platform", system),
            *options,
            writes="",
            stdin="\n".join(lines) + "\n",
        )
    except NoSolutionError:
        return False
    return True
