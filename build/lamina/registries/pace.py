"""Stall detection for transfers with a registry. Pure: the caller passes the time."""

from __future__ import annotations

SLOWEST = 512
"""Bytes per second. A transfer that is slower over a whole window is stalled."""

STALL_HINT = "check the registry; --stall <seconds> (LAMINA_STALL, 0: no limit) waits longer"


class Pace:
    """Divides time into windows; a window with too few bytes is a stall.

    Args:
        seconds: the longest window; 0: no limit.
        now: seconds of a monotonic clock.
    """

    def __init__(self, seconds: float, now: float) -> None:
        self.seconds = seconds
        self._enough = SLOWEST * seconds
        self._began = now
        self._bytes = 0.0

    def moved(self, count: int, now: float) -> None:
        """Count bytes; start a new window once there are enough."""
        self._bytes += count
        if self._bytes >= self._enough:
            self.restart(now)

    def restart(self, now: float) -> None:
        """Start a new window."""
        self._began, self._bytes = now, 0.0

    def left(self, now: float) -> float:
        """Return the seconds until a stall without more bytes; 0 when stalled, infinite without a limit."""
        if not self.seconds:
            return float("inf")
        return max(0.0, self._began + self.seconds - now)
