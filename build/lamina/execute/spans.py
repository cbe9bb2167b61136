"""Spans of time. Pure."""

from __future__ import annotations

from collections.abc import Iterable


def join_spans(spans: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Merge overlapping spans, in order of time."""
    joined: list[tuple[float, float]] = []
    for start, stop in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], stop))
        elif stop > start:
            joined.append((start, stop))
    return tuple(joined)
