"""The emulator is fetched as the engine's packages are: by a scripted runner, into a cache of its own."""

from __future__ import annotations

from ..sandbox.conftest import cache, runner

__all__ = ["cache", "runner"]
