"""The end of one call of bake."""

from __future__ import annotations

from dataclasses import dataclass

from lamina.execute.exchanges import StalledError
from lamina.execute.progress import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Baked:
    """One call of bake that ended. error: what it said when it failed. stalled: why it was stopped.

    spoilt: images of which it may have been sent other files than were hashed, and what stands on those.
    """

    trace: Trace
    error: str | None = None
    interrupted: bool = False
    spoilt: frozenset[str] = frozenset()
    stalled: StalledError | None = None

    @property
    def ok(self) -> bool:
        """Whether it made all that was ordered."""
        return self.error is None and not self.interrupted and self.stalled is None
