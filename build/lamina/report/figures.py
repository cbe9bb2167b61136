"""Figures as people read them: seconds, bytes, shares, with as many digits as say something."""

from __future__ import annotations

NONE = "-"
"""Where nothing is known, or nothing is to be said."""
_KB = 1000
_MB = 1_000_000


def counted(number: int, noun: str) -> str:
    """``1 fault``, ``2 faults``."""
    return f"{number} {noun}{'s' * (number != 1)}"


def size(count: int | None) -> str:
    """Bytes as megabytes, or less where there are less."""
    if count is None:
        return NONE
    if count < _KB:
        return f"{count} B"
    if count < _MB / 10:
        return f"{count / _KB:.0f} kB"
    return f"{count / _MB:.{0 if count >= 10 * _MB else 1}f} MB"


def seconds(value: float | None) -> str:
    """Seconds, the fewer the finer."""
    if value is None:
        return NONE
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s" if value >= 2 else f"{value:.2f} s"


def share(part: int, whole: int) -> str:
    """A part of a whole in percent; nothing where there is no whole."""
    return f"{100 * part / whole:.0f} %" if whole else NONE
