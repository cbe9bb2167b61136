"""The result of one call of bake."""

from __future__ import annotations

from dataclasses import dataclass

from lamina.errors import LaminaError, Problem
from lamina.execute.exchanges import StalledError
from lamina.execute.progress import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Baked:
    """The result of one call of bake.

    Attributes:
        error: its error output if it failed.
        stalled: why it was stopped.
        spoilt: images whose files may have changed between hashing and sending, and the images built from
            them.
        lost: why its builder takes no further part in the run.
    """

    trace: Trace
    error: str | None = None
    interrupted: bool = False
    spoilt: frozenset[str] = frozenset()
    stalled: StalledError | None = None
    lost: Problem | None = None

    @property
    def stopped(self) -> LaminaError | KeyboardInterrupt | None:
        """What stopped the call from outside the images; None if nothing did."""
        return self.stalled or (KeyboardInterrupt() if self.interrupted else None)

    @property
    def ok(self) -> bool:
        """Whether all requested images were built."""
        return self.error is None and not self.interrupted and self.stalled is None and self.lost is None
