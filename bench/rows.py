"""The results: a row for each case and variant, and the JSON document that keeps them (schema 1)."""

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
    """The result of a case for one variant.

    seconds: of ``runs`` whole commands. bytes_internet: received from the internet. bytes_registry: between
    the builder and the registry, in both directions. Both are medians, None if bytes are not counted.
    steps_cached, steps_total: instructions of Dockerfiles. images_built: how many images are new. not_run:
    why there are no figures, None if there are. memory: the peak of the largest process, in bytes; None if it
    is not measured.
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
    memory: int | None = None

    @classmethod
    def of(cls, case: str, variant: str, samples: list[Sample], memory: int | None = None) -> BenchRow:
        """Return the row of at least one run. Steps and images are those of the last run."""
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
            memory=memory,
        )

    @classmethod
    def missing(cls, case: str, variant: str, reason: str) -> BenchRow:
        """Return a row without figures."""
        return cls(case=case, variant=variant, not_run=reason)

    @property
    def failed(self) -> bool:
        """Whether the case was run and failed."""
        return (self.not_run or "").startswith(FAILED)

    @property
    def bytes_moved(self) -> int | None:
        """The bytes from the internet and of the registry; None if they are not counted."""
        if self.bytes_internet is None or self.bytes_registry is None:
            return None
        return self.bytes_internet + self.bytes_registry

    def document(self) -> dict[str, Any]:
        """Return the row's JSON object in ``bench.json``."""
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
            "memory": self.memory,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchReport:
    """A run of the bench. uncounted: why bytes are not counted, None if they are."""

    rows: tuple[BenchRow, ...]
    machine: Mapping[str, str] = field(default_factory=dict)
    uncounted: str | None = None

    @property
    def measured(self) -> tuple[BenchRow, ...]:
        """The rows that have figures."""
        return tuple(row for row in self.rows if row.seconds is not None)

    def find(self, case: str, variant: str) -> BenchRow | None:
        """Return the row of a case and a variant, None if it has no figures."""
        return next(
            (row for row in self.measured if (row.case, row.variant) == (case, variant)),
            None,
        )

    def document(self) -> dict[str, Any]:
        """Return the JSON document ``bench.json``."""
        return {
            "schema": SCHEMA,
            "machine": dict(self.machine),
            "bytes_not_counted": self.uncounted,
            "rows": [row.document() for row in self.rows],
        }


def read_report(file: Path) -> BenchReport:
    """Read the report in a ``bench.json``. Raises ConfigError if the file is not one."""
    if not file.is_file():
        raise ConfigError.of(f"there is no file {file}", hint="nox -s bench writes one")
    document = read_json(file)
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ConfigError.of("this is not a report of the bench", where=str(file), allowed=f"schema {SCHEMA}")
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
