"""Find Python requirements that may resolve to another version in the next build. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping

from lamina.errors import Problem
from lamina.identify.fingerprint import distribution
from lamina.identify.image import Image
from lamina.patterns import regex

_LOCK = regex(r"(uv|pdm|poetry|Pipfile|(.*[-_.])?requirements([-_.].*)?)\.lock|pylock(\..+)?\.toml")
_CONSTRAINTS = regex(r"(.*[-_.])?constraints([-_.].*)?\.(txt|in)")
_PINNED = regex(r"===?\s*[^\s,;*]+(?![^,;]*[,*])|@|--hash")
_DIRECT = regex(r"[./]|[a-z+]+://")
_EXTRA = regex(r"extra == '([^']+)'")
_SHOWN = 3


def unpinned(images: Mapping[str, Image], local: Collection[str]) -> Iterator[Problem]:
    """Yield a note for each image that installs unpinned requirements.

    A requirement is pinned by ``==``, a hash or a URL, in its own line or in any other file of the image's
    context. A lock file pins the requirements of the files beside and below it.
    local: normalised names of the project's own packages.
    """
    for image in images.values():
        loose = _loose(image, local) if _runs(image) else {}
        if loose:
            names = ", ".join([*list(loose)[:_SHOWN], *(["…"] if len(loose) > _SHOWN else [])])
            are = "requirement is" if len(loose) == 1 else "requirements are"
            yield Problem(
                what=f"{image.name}: {len(loose)} {are} not pinned ({names})",
                where=image.project_path(next(iter(loose.values()))),
                hint="install from a constraints or lock file: a later build may get other versions",
            )


def _runs(image: Image) -> bool:
    return any(line.startswith("RUN ") for line in image.inputs.instructions)


def _loose(image: Image, local: Collection[str]) -> dict[str, str]:
    """Return the unpinned names -> the file that requires them."""
    required = [(path, line) for path, lines in image.inputs.requirements.items() for line in lines]
    pinned = {distribution(line) for _, line in required if _PINNED.search(line.partition(";")[0])}
    locks = [
        posixpath.dirname(file.path)
        for file in image.contexts[""].files
        if file.path.endswith((".lock", ".toml"))
        and file.kind != "dir"
        and _LOCK.fullmatch(posixpath.basename(file.path))
    ]
    found: dict[str, str] = {}
    for path, line in required:
        constraint = _CONSTRAINTS.fullmatch(posixpath.basename(path))
        covered = any(not folder or path.startswith(f"{folder}/") for folder in locks)
        if constraint or covered or _DIRECT.match(line) or not _is_installed(line, image):
            continue
        if distribution(line) not in pinned and distribution(line) not in local:
            found.setdefault(distribution(line), path)
    return found


def _is_installed(line: str, image: Image) -> bool:
    """Whether a requirement is installed: one of an extra is only if some step names that extra."""
    extra = _EXTRA.search(line)
    if extra is None:
        return True
    name = re.escape(extra.group(1))
    named = re.compile(rf"\[[\w\s.,-]*\b{name}\b[\w\s.,-]*\]|--extra[= ]{name}\b|--all-extras")
    return any(named.search(instruction) for instruction in image.inputs.instructions)
