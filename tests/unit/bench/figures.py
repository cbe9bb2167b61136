"""Reports made by hand."""

from __future__ import annotations

from bench.meter import Sample, Spread, Steps
from bench.rows import BenchReport, BenchRow
from lamina.sandbox.namespace import Traffic


def row(case: str, variant: str, seconds: float, moved: int = 0) -> BenchRow:
    """A row of one run: all bytes from the registry."""
    return BenchRow(
        case=case,
        variant=variant,
        seconds=Spread(min=seconds, median=seconds, max=seconds),
        runs=1,
        bytes_internet=0,
        bytes_registry=moved,
        steps_cached=1,
        steps_total=2,
        images_built=1,
        images_total=4,
    )


def report(*rows: BenchRow) -> BenchReport:
    return BenchReport(rows=rows, machine={"cpus": "2", "docker": "28.5"})


def run(seconds: float, internet: int = 0, registry: int = 0, steps: Steps | None = None) -> Sample:
    traffic = Traffic(internet=internet, loopback=registry)
    return Sample(seconds=seconds, traffic=traffic, steps=steps or Steps())
