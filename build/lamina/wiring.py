"""What commands plug into the core. The only module that knows the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.sandbox.provider import Sandbox


def sandbox() -> Sandbox:
    """Return what supplies private engines, stand-ins and a local registry; an `EngineProvider`."""
    from lamina.sandbox.provider import Sandbox

    return Sandbox()
