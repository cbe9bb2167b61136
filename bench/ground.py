"""Where the bench builds: a builder that can be emptied, a registry beside it, and a meter on both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from lamina.process import Command
from lamina.sandbox.namespace import Traffic

RUNTIME = "lambda/python"
"""The runtime's repository in the registry."""


class Ground(Protocol):
    """Everything that variants have in common, made for one run of the bench and removed after it."""

    uncounted: str | None
    """Why bytes are not counted; None when they are."""
    no_arm64: str | None
    """Why nothing can be built for arm64; None when it can."""
    versions: Mapping[str, str]
    """Of docker, buildx and BuildKit, once it is open."""

    @property
    def stored(self) -> str:
        """The output that leaves an image in the engine's store."""
        ...

    @property
    def buildx(self) -> tuple[str, ...]:
        """What to put before ``bake``."""
        ...

    @property
    def registry(self) -> str:
        """``host:port``, the same for the builder and for commands."""
        ...

    @property
    def runtime(self) -> str:
        """The repository in it of the runtime that every variant builds on."""
        ...

    def open(self) -> None:
        """Start all of it and put the runtime into the registry. Raises EngineError."""
        ...

    def close(self) -> None:
        """Remove all of it; nothing when it was never opened."""
        ...

    def empty(self) -> None:
        """A builder as it is on a runner that has never built, and none of our images in the engine."""
        ...

    def traffic(self) -> Traffic | None:
        """What has passed so far; None where bytes are not counted."""
        ...

    def command(self, *argv: str, cwd: Path, env: Mapping[str, str] | None = None) -> Command:
        """A command that uses this builder, this engine and this registry."""
        ...


def read_versions(*, docker: str, buildx: str, builders: str, builder: str) -> Mapping[str, str]:
    """Versions out of what the tools answered: JSON of docker and of `buildx ls`, the line of buildx."""
    listed = [json.loads(line) for line in builders.splitlines() if line.startswith("{")]
    nodes = [node for each in listed if each["Name"] == builder for node in each["Nodes"]]
    words = buildx.split()
    found = {
        "docker": str(json.loads(docker)),
        "buildx": words[1] if len(words) > 1 else "",
        "buildkit": str(nodes[0].get("Version", "")) if nodes else "",
    }
    # Debian builds the engine without telling it which BuildKit is in it.
    return {name: version for name, version in found.items() if version and "unknown" not in version}
