"""The commands: flags in, one call, a report, an exit code.

`commands` has the table. `lamina` runs a command from it; for ``invoke``, `ns` is made from it.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing.TYPE_CHECKING without the cost of importing typing
if TYPE_CHECKING:
    from invoke.collection import Collection

__all__ = ["ns"]


def __getattr__(name: str) -> Collection:
    """Make Invoke's tasks when they are asked for: ``lamina`` does not need them."""
    if name != "ns":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lamina.tasks.collection import ns

    return ns
