"""Names for undeclared images: the name that others build FROM, else the folder, file or function. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lamina.refs import EcrHost, Reference

_GENERIC = frozenset(
    {
        *("docker", "dockerfile", "dockerfiles", "image", "images", "container", "containers", "src", "app"),
        *("build", "lambda", "lambdas", "function", "functions", "handler", "code", "img"),
    }
)
"""Words that say little of what an image is for."""
_TECHNICAL = frozenset(
    {
        *("context", "asset", "assets", "appimage", "runtime", "python", "py", "go", "golang", "node"),
        *("nodejs", "js", "ts", "javascript", "typescript", "java", "rust", "ruby", "dotnet", "csharp"),
    }
)
"""Words that say nothing of it, even alone."""
_VARIANTS = frozenset(
    {
        *("dev", "development", "prod", "production", "staging", "stage", "test", "testing", "ci", "local"),
        *("debug", "release", "lambda", "aws", "arm64", "amd64", "x86"),
    }
)
"""Suffixes of Dockerfiles that name a variant rather than an image."""
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_VERSION = re.compile(r"v?\d")
_OWN_TAGS = (None, "latest", "stable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """A name that a Dockerfile builds FROM or copies from. by: that Dockerfile."""

    reference: Reference
    by: str


def slug(text: str) -> str:
    """Convert a text for an image name: ``ReceiptLabel`` and ``receipt_label`` to ``receipt-label``."""
    return _NOT_IN_NAMES.sub("-", _CAMEL.sub("-", text).lower()).strip("-")


def own_names(reference: Reference) -> tuple[str, ...]:
    """Return the names of the repository's images that a reference may mean, with and without a stack suffix.

    Empty for an external image: a digest, a version tag, a foreign registry, or a path on Docker Hub.
    """
    name = reference.repository.rpartition("/")[2]
    if reference.digest or (reference.tag not in _OWN_TAGS and _VERSION.match(reference.tag or "")):
        return ()
    if reference.host is None:
        return () if "/" in reference.repository else (name,)
    if EcrHost.of(reference) is None and not reference.loopback:
        return ()
    return tuple(each for each in (name, name.rpartition("-")[0]) if each)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bases:
    """Names that Dockerfiles build FROM.

    Attributes:
        made_by: the matching Dockerfile.
        unclear: several equal matches.
    """

    made_by: Mapping[str, str]
    unclear: Mapping[str, tuple[str, ...]]


def match_bases(dockerfiles: Iterable[str], used: Iterable[Used]) -> Bases:
    """Find the Dockerfiles of the images that others build FROM, by the words in names and paths."""
    paths = tuple(dockerfiles)
    users: dict[str, set[str]] = {}
    for each in used:
        for name in own_names(each.reference):
            users.setdefault(name, set()).add(each.by)
    found: dict[str, str] = {}
    unclear: dict[str, tuple[str, ...]] = {}
    for name, by in users.items():
        fits = [path for path in paths if path not in by and _words(name) <= _words(path)]
        closest = [path for path in fits if _words(_last(path)) <= _words(name)] or fits
        if len(closest) == 1 and closest[0] not in found.values():
            found[name] = closest[0]
        elif len(closest) > 1:
            unclear[name] = tuple(closest)
    return Bases(made_by=found, unclear=unclear)


def name_images(
    dockerfiles: Iterable[str],
    bases: Mapping[str, str],
    *,
    repository: str,
    taken: Iterable[str],
    functions: Mapping[str, str] | None = None,
) -> Mapping[str, str]:
    """Return Dockerfile -> unique name.

    Args:
        repository: its name.
        taken: names that must not be used.
        functions: Dockerfile -> a function that runs it, for those whose folders say nothing.
    """
    hints = functions or {}
    given = {path: name for name, path in bases.items()}
    names: dict[str, str] = {}
    used = {*taken, *given.values()}
    paths = tuple(dockerfiles)
    folders = Counter(path.rpartition("/")[0] for path in paths)
    choices_of = {
        path: _choices(path, repository, hints.get(path), alone=folders[path.rpartition("/")[0]] == 1)
        for path in paths
        if path not in given
    }
    shared = Counter(name for each in choices_of.values() for name in set(each))
    for path in paths:
        if path in given:
            names[path] = given[path]
            continue
        choices = choices_of[path]
        own = [each for each in choices if shared[each] < 2] or choices
        free = next((each for each in own if each not in used), None)
        number = 2
        while free is None or free in used:
            free = f"{choices[-1]}-{number}"
            number += 1
        names[path] = free
        used.add(free)
    return names


def _choices(path: str, repository: str, function: str | None, *, alone: bool) -> list[str]:
    """Return names for a Dockerfile, each with one more folder.

    Args:
        function: one that runs it.
        alone: whether its folder has no other Dockerfile.
    """
    parts = [part for part in map(slug, path.split("/")[:-1]) if part]
    own = _suffix(path)
    variant = own in _VARIANTS and bool(parts)
    if variant and alone:
        own = ""
    last = parts[-1] if parts else ""
    whole = list(parts)
    while len(parts) > 1 and says_nothing(parts[-1]):
        parts.pop()
    if not own and len(parts) == 1 and says_nothing(parts[0]) and not _GENERIC.issuperset(parts):
        called = slug(repository) or "image"
        return [slug(function)] if function and slug(function) else [called, f"{called}-{last}"]
    words = [
        *([slug(repository) or "image"] if not parts and not own else []),
        *parts,
        *([own] if own else []),
    ]
    least = 2 if variant and own else 1
    choices = ["-".join(words[-count:]) for count in range(least, len(words) + 1)]
    # Where even these are shared, the folders tell images apart that say nothing by themselves.
    return (
        choices
        if whole == parts
        else [*choices, "-".join([*whole[len(parts) - 1 :], *([own] if own else [])])]
    )


def says_nothing(part: str) -> bool:
    """Whether a name has only words that say nothing of what an image is for: ``app-image-0``."""
    words = (word.rstrip("0123456789") for word in part.split("-"))
    return all(not word or word in _GENERIC | _TECHNICAL for word in words)


def _suffix(path: str) -> str:
    """Return ``foo`` for ``Dockerfile.foo`` and ``foo.Dockerfile``, else an empty text."""
    name = path.rpartition("/")[2]
    head, _, tail = name.partition(".")
    return slug(tail if head in {"Dockerfile", "dockerfile"} else name.rpartition(".")[0] if tail else "")


def _last(path: str) -> str:
    return _suffix(path) or path.rpartition("/")[0].rpartition("/")[2]


def _words(text: str) -> set[str]:
    return {word.removesuffix("s") for word in slug(text.replace("/", "-")).split("-")} - {"dockerfile"}
