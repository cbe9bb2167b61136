"""The ground of the bench: a builder that can be emptied, a registry, and a byte counter for both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from lamina.process import Command
from lamina.sandbox.namespace import Traffic

RUNTIME = "lambda/python"
"""The runtime's repository in the registry."""


class Ground(Protocol):
    """The builder and registry that all variants share, created for one run of the bench."""

    uncounted: str | None
    """Why bytes are not counted; None if they are."""
    no_arm64: str | None
    """Why arm64 cannot be built; None if it can."""
    versions: Mapping[str, str]
    """The versions of docker, buildx and BuildKit, once the ground is open."""

    @property
    def stored(self) -> str:
        """The build output that stores an image in the engine."""
        ...

    @property
    def buildx(self) -> tuple[str, ...]:
        """The command words before ``bake``."""
        ...

    @property
    def docker(self) -> str:
        """The docker program."""
        ...

    @property
    def registry(self) -> str:
        """``host:port``, the same for the builder and for commands."""
        ...

    @property
    def runtime(self) -> str:
        """The registry's repository of the runtime that every variant builds on."""
        ...

    def open(self) -> None:
        """Start the builder and the registry, and push the runtime. Raises EngineError."""
        ...

    def close(self) -> None:
        """Remove everything; do nothing if it was never opened."""
        ...

    def empty(self) -> None:
        """Empty the builder, as on a runner that has never built, and remove our images from the engine."""
        ...

    def nodes(self, count: int) -> AbstractContextManager[str]:
        """Open a builder of so many BuildKits beside the engine's own; its name. Raises EngineError."""
        ...

    def traffic(self) -> Traffic | None:
        """Return the bytes so far; None if bytes are not counted."""
        ...

    def command(self, *argv: str, cwd: Path, env: Mapping[str, str] | None = None) -> Command:
        """Return a command that uses this builder, this engine and this registry."""
        ...


def read_versions(*, docker: str, buildx: str, builders: str, builder: str) -> Mapping[str, str]:
    """Read versions from the tools' output: JSON of docker and of `buildx ls`, the line of buildx."""
    listed = [json.loads(line) for line in builders.splitlines() if line.startswith("{")]
    nodes = [node for each in listed if each["Name"] == builder for node in each["Nodes"]]
    words = buildx.split()
    found = {
        "docker": str(json.loads(docker)),
        "buildx": words[1] if len(words) > 1 else "",
        "buildkit": str(nodes[0].get("Version", "")) if nodes else "",
    }
    # Debian's engine does not know the version of the BuildKit in it.
    return {name: version for name, version in found.items() if version and "unknown" not in version}
