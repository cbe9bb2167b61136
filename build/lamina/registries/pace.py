"""Whether an exchange with a registry still moves. Pure: the caller brings the clock."""

from __future__ import annotations

SLOWEST = 512
"""Bytes a second. What is slower over a whole window stands still, as a byte every two seconds does."""

STALL_HINT = "see what keeps the registry; --stall <seconds> (LAMINA_STALL, 0: no limit) waits longer"


class Pace:
    """Cuts time into windows; one in which too little moved is a stall.

    seconds: the longest window; 0: no limit. now: any clock that only goes forward, in seconds.
    """

    def __init__(self, seconds: float, now: float) -> None:
        self.seconds = seconds
        self._enough = SLOWEST * seconds
        self._began = now
        self._bytes = 0.0

    def moved(self, count: int, now: float) -> None:
        """Count bytes; with enough of them another window begins."""
        self._bytes += count
        if self._bytes >= self._enough:
            self.restart(now)

    def restart(self, now: float) -> None:
        """Begin another window: something was finished."""
        self._began, self._bytes = now, 0.0

    def left(self, now: float) -> float:
        """Seconds until it is a stall unless more moves; 0 when it is one."""
        if not self.seconds:
            return float("inf")
        return max(0.0, self._began + self.seconds - now)
