"""Format figures for people: seconds, bytes, shares, with significant digits only."""

from __future__ import annotations

NONE = "-"
"""Shown for an unknown or empty figure."""
_KB = 1000
_MINUTE = 60
_LONG = 120
_MB = 1_000_000


def counted(number: int, noun: str) -> str:
    """Format a count: ``1 fault``, ``2 faults``."""
    return f"{number} {noun}{'s' * (number != 1)}"


def size(count: int | None) -> str:
    """Format bytes as MB, or as kB or B if there are few."""
    if count is None:
        return NONE
    if count < _KB:
        return f"{count} B"
    if count < _MB / 10:
        return f"{count / _KB:.0f} kB"
    return f"{count / _MB:.{0 if count >= 10 * _MB else 1}f} MB"


def seconds(value: float | None) -> str:
    """Format seconds; small values get more digits, and long ones are minutes or hours: ``34 min 41 s``."""
    if value is None:
        return NONE
    if value >= _LONG:
        minutes, left = divmod(round(value), _MINUTE)
        hours, minutes = divmod(minutes, _MINUTE)
        return f"{hours} h {minutes} min" if hours else f"{minutes} min {left} s"
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s" if value >= 2 else f"{value:.2f} s"


def share(part: int, whole: int) -> str:
    """Format a part of a whole in percent; a dash if the whole is 0."""
    return f"{100 * part / whole:.0f} %" if whole else NONE
