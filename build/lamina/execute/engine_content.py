"""Read the documents of images from an engine's store: its API does not give them, BuildKit does."""

from __future__ import annotations

from lamina.execute.engine import ENGINES_BUILDER, Engine
from lamina.process import Command, Runner
from lamina.registries.base import sha256

_SECONDS = 30
_LATEST = "^0"
"""Any build will do: what is read need not be an attachment of it."""


def read_content(runner: Runner, engine: Engine, digest: str) -> bytes | None:
    """Return a document of an image; None if the engine does not have it, or has no record of any build."""
    words = ("history", "inspect", "attachment", f"--builder={ENGINES_BUILDER}", _LATEST, digest)
    done = runner.run(Command(argv=(*engine.buildx, *words), env=engine.environment), timeout=_SECONDS)
    raw = done.stdout.encode()
    return raw if done.ok and sha256(raw) == digest else None
