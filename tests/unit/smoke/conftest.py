"""The emulator is downloaded by a scripted runner, into a temporary cache."""

from __future__ import annotations

from ..sandbox.conftest import cache, runner

__all__ = ["cache", "runner"]
