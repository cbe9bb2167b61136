"""What is known about common base images: system, C library, Python, the end of Lambda's support."""

from __future__ import annotations

import re
from typing import Literal

from lamina.patterns import regex
from lamina.values import dataclass

System = Literal["al2", "al2023", "debian", "ubuntu", "alpine"]
Version = tuple[int, int]

_PYTHON_2023: Version = (3, 12)
"""The first Python whose runtime is based on Amazon Linux 2023."""
_FIRST_AL2: Version = (3, 8)
_FIRST_2023 = {"nodejs": 20, "java": 21, "dotnet": 8}
GLIBC: dict[str, Version] = {
    "al2": (2, 26),
    "al2023": (2, 34),
    "buster": (2, 28),
    "bullseye": (2, 31),
    "bookworm": (2, 36),
    "trixie": (2, 41),
    "focal": (2, 31),
    "jammy": (2, 35),
    "noble": (2, 39),
    "20.04": (2, 31),
    "22.04": (2, 35),
    "24.04": (2, 39),
}
"""System or release -> version of glibc, as in its package index."""
_NEWEST_DEBIAN = "trixie"
"""The release of tags such as ``python:3.13-slim``, which name none."""
_RUNTIME = regex(r"(?:^|/)(?:lambda/|aws-lambda-)(?P<language>python|nodejs|java|dotnet|ruby|go|provided)$")
_OFFICIAL = regex(
    r"(?:public\.ecr\.aws/docker/library/|(?:docker\.io/)?(?:library/)?)(?P<name>python|debian|ubuntu|alpine)"
    r"|public\.ecr\.aws/(?:debian|ubuntu|alpine)/(?P<other>debian|ubuntu|alpine)"
)
_AMAZON = regex(
    r"(?:public\.ecr\.aws/amazonlinux/|(?:public\.ecr\.aws/docker/library/|(?:docker\.io/)?(?:library/)?))amazonlinux"
)
_BUILDERS = regex(
    r"(?:^|/)(?:(?:lambci/lambda|mlupin/docker-lambda):(?:build-)?|sam/build-|aws-sam-cli-build-image-)"
    r"python(\d)\.(\d+)"
)
"""Images like Lambda's runtimes, in which packages are built: they have compilers and git."""
_UV = regex(r"ghcr\.io/astral-sh/uv")
_SUITE = regex("|".join(name for name in GLIBC if name.isalpha()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """An image outside the Dockerfile.

    Attributes:
        name: As in FROM.
        language: Of a Lambda runtime; None for other images.
        system: None if unknown; then nothing is certain about the image.
        python: Of the image's own ``python``.
        glibc: None if unknown or another C library.
        slim: Whether it is known to lack compilers and git.
    """

    name: str
    language: str | None = None
    system: System | None = None
    python: Version | None = None
    glibc: Version | None = None
    slim: bool = False

    @property
    def on_runtime(self) -> bool:
        """Whether it is Lambda's own Python runtime."""
        return self.language == "python"


def read_base(name: str) -> Base:
    """Return what is known about an image by its name."""
    repository, tag = _split(name)
    if runtime := _RUNTIME.search(repository):
        return _runtime(name, runtime["language"], tag)
    if found := _BUILDERS.search(name):
        python = int(found[1]), int(found[2])
        on: System | None = "al2023" if python >= _PYTHON_2023 else "al2" if python >= _FIRST_AL2 else None
        return Base(name=name, system=on, python=python, glibc=GLIBC[on] if on else None)
    if _AMAZON.fullmatch(repository):
        system: System = "al2" if tag.startswith("2.") or tag == "2" else "al2023"
        return Base(name=name, system=system, glibc=GLIBC[system], slim=True)
    if _UV.fullmatch(repository):
        return (
            _debian_or_alpine(name, tag) if re.search("alpine|debian|slim|python", tag) else Base(name=name)
        )
    if found := _OFFICIAL.fullmatch(repository):
        kind = found["name"] or found["other"]
        if kind == "alpine":
            return Base(name=name, system="alpine", slim=True)
        if kind == "ubuntu":
            glibc = next((GLIBC[key] for key in GLIBC if tag.startswith(key)), None)
            return Base(name=name, system="ubuntu", glibc=glibc, slim=True)
        return _debian_or_alpine(name, tag if kind == "python" else f"slim-{tag}")
    return Base(name=name)


def _split(name: str) -> tuple[str, str]:
    """Return the repository and the tag of an image name."""
    bare = name.partition("@")[0]
    if ":" in bare.rpartition("/")[2]:
        repository, _, tag = bare.rpartition(":")
        return repository, tag
    return bare, "latest"


def _runtime(name: str, language: str, tag: str) -> Base:
    numbers = re.match(r"(\d+)(?:\.(\d+))?", tag)
    major, minor = (int(numbers[1]), int(numbers[2] or 0)) if numbers else (0, 0)
    system: System | None = None
    if language == "python" and numbers:
        system = "al2023" if (major, minor) >= _PYTHON_2023 else "al2"
    elif language in _FIRST_2023 and numbers:
        system = "al2023" if major >= _FIRST_2023[language] else "al2"
    elif language == "provided":
        system = "al2023" if tag.startswith("al2023") else "al2" if tag.startswith("al2") else None
    return Base(
        name=name,
        language=language,
        system=system,
        python=(major, minor) if language == "python" and numbers else None,
        glibc=GLIBC[system] if system else None,
        slim=True,
    )


def _debian_or_alpine(name: str, tag: str) -> Base:
    version = re.search(r"(?:^|python)(\d+)\.(\d+)", tag)
    python = (int(version[1]), int(version[2])) if version else None
    if "alpine" in tag:
        return Base(name=name, system="alpine", python=python, slim=True)
    suite = _SUITE.search(tag)
    return Base(
        name=name,
        system="debian",
        python=python,
        glibc=GLIBC[suite[0] if suite else _NEWEST_DEBIAN],
        slim="slim" in tag,
    )
