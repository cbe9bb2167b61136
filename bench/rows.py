"""What was measured: rows of a case and a variant, and the document that keeps them, schema 1."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.meter import Sample, Spread
from lamina.errors import ConfigError
from lamina.files import read_json

SCHEMA = 1
FAILED = "failed: "


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRow:
    """A case as one variant met it.

    seconds: of ``runs`` whole commands. bytes_internet: received from outside; bytes_registry: between
    the builder and the registry, in both directions; medians, None where they are not counted.
    steps_cached, steps_total: instructions of Dockerfiles. images_built: those that became new images.
    not_run: why there are no figures, None when there are.
    """

    case: str
    variant: str
    seconds: Spread | None = None
    runs: int = 0
    bytes_internet: int | None = None
    bytes_registry: int | None = None
    steps_cached: int | None = None
    steps_total: int | None = None
    images_built: int | None = None
    images_total: int | None = None
    not_run: str | None = None

    @classmethod
    def of(cls, case: str, variant: str, samples: list[Sample]) -> BenchRow:
        """The row of at least one run. Steps and images are those of the last."""
        moved = [sample.traffic for sample in samples if sample.traffic is not None]
        steps = samples[-1].steps
        return cls(
            case=case,
            variant=variant,
            seconds=Spread.of(sample.seconds for sample in samples),
            runs=len(samples),
            bytes_internet=_median(each.internet for each in moved),
            bytes_registry=_median(each.loopback for each in moved),
            steps_cached=steps.cached,
            steps_total=steps.total,
            images_built=steps.built,
            images_total=steps.images,
        )

    @classmethod
    def missing(cls, case: str, variant: str, reason: str) -> BenchRow:
        """A row without figures."""
        return cls(case=case, variant=variant, not_run=reason)

    @property
    def failed(self) -> bool:
        """Whether it was to run and did not end well."""
        return (self.not_run or "").startswith(FAILED)

    @property
    def bytes_moved(self) -> int | None:
        """From the internet and over the registry; None where they are not counted."""
        if self.bytes_internet is None or self.bytes_registry is None:
            return None
        return self.bytes_internet + self.bytes_registry

    def document(self) -> dict[str, Any]:
        """As it stands in ``bench.json``."""
        seconds = self.seconds
        return {
            "case": self.case,
            "variant": self.variant,
            "seconds": None
            if seconds is None
            else {
                "min": round(seconds.min, 4),
                "median": round(seconds.median, 4),
                "max": round(seconds.max, 4),
            },
            "runs": self.runs,
            "bytes_internet": self.bytes_internet,
            "bytes_registry": self.bytes_registry,
            "steps_cached": self.steps_cached,
            "steps_total": self.steps_total,
            "images_built": self.images_built,
            "images_total": self.images_total,
            "not_run": self.not_run,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchReport:
    """A run of the bench. uncounted: why bytes are not counted, None when they are."""

    rows: tuple[BenchRow, ...]
    machine: Mapping[str, str] = field(default_factory=dict)
    uncounted: str | None = None

    @property
    def measured(self) -> tuple[BenchRow, ...]:
        """The rows that have figures."""
        return tuple(row for row in self.rows if row.seconds is not None)

    def find(self, case: str, variant: str) -> BenchRow | None:
        """The row of a case and a variant that has figures."""
        return next(
            (row for row in self.measured if (row.case, row.variant) == (case, variant)),
            None,
        )

    def document(self) -> dict[str, Any]:
        """``bench.json``."""
        return {
            "schema": SCHEMA,
            "machine": dict(self.machine),
            "bytes_not_counted": self.uncounted,
            "rows": [row.document() for row in self.rows],
        }


def read_report(file: Path) -> BenchReport:
    """The report in a ``bench.json``. Raises ConfigError for a file that is none."""
    if not file.is_file():
        raise ConfigError.of(f"there is no file {file}", hint="nox -s bench writes one")
    document = read_json(file)
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ConfigError.of("this is no report of the bench", where=str(file), allowed=f"schema {SCHEMA}")
    try:
        return BenchReport(
            rows=tuple(_row(each) for each in document["rows"]),
            machine=document["machine"],
            uncounted=document["bytes_not_counted"],
        )
    except (KeyError, TypeError) as error:
        raise ConfigError.of(f"the report is damaged: {error}", where=str(file)) from None


def _row(document: Mapping[str, Any]) -> BenchRow:
    values = dict(document)
    if values["seconds"] is not None:
        values["seconds"] = Spread(**values["seconds"])
    return BenchRow(**values)


def _median(values: Iterable[int]) -> int | None:
    found = list(values)
    return int(statistics.median(found)) if found else None
