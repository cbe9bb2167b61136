"""Compare a run with an earlier one: ratios of medians, case by case. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.rows import BenchReport

SMALLEST = 0.1
"""Seconds. A smaller difference is noise, whatever the ratio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchChange:
    """A case and a variant in both runs. before, now: median seconds."""

    case: str
    variant: str
    before: float
    now: float

    @property
    def ratio(self) -> float:
        """The new time divided by the old one; above 1: slower."""
        return self.now / self.before

    def slower(self, tolerance: float) -> bool:
        """Whether it is slower by more than the tolerated ratio, and by more than `SMALLEST`."""
        return self.ratio > tolerance and self.now - self.before > SMALLEST


def compare(before: BenchReport, now: BenchReport) -> tuple[BenchChange, ...]:
    """Return the rows with figures in both reports, in this run's order."""
    return tuple(_changes(before, now))


def _changes(before: BenchReport, now: BenchReport) -> Iterator[BenchChange]:
    for row in now.rows:
        old = before.find(row.case, row.variant)
        if row.seconds and old and old.seconds and old.seconds.median > 0:
            yield BenchChange(
                case=row.case, variant=row.variant, before=old.seconds.median, now=row.seconds.median
            )
