"""Rows, and the document that keeps them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.meter import Sample, Spread, Steps
from bench.rows import BenchReport, BenchRow, read_report
from lamina.errors import ConfigError
from lamina.files import write_json

from .figures import report, row, run

KEYS = [
    *("case", "variant", "seconds", "runs", "bytes_internet", "bytes_registry", "steps_cached"),
    *("steps_total", "images_built", "images_total", "not_run", "memory"),
]


def test_a_row_has_the_spread_of_seconds_and_the_median_of_bytes() -> None:
    last = Steps(cached=9, total=10, built=1, images=4)
    samples = [run(1.0, 100, 10), run(3.0, 300, 30), run(2.0, 900, 20, last)]

    made = BenchRow.of("handler", "lamina", samples)

    assert made.seconds == Spread(min=1.0, median=2.0, max=3.0)
    assert (made.runs, made.bytes_internet, made.bytes_registry, made.bytes_moved) == (3, 300, 20, 320)
    assert (made.steps_cached, made.steps_total, made.images_built, made.images_total) == (9, 10, 1, 4)
    assert made.not_run is None


def test_uncounted_bytes_are_null() -> None:
    made = BenchRow.of("handler", "lamina", [Sample(seconds=1.0, traffic=None, steps=Steps())])

    assert (made.bytes_internet, made.bytes_registry, made.bytes_moved) == (None, None, None)
    assert made.document()["bytes_internet"] is None


def test_a_row_without_figures_says_why() -> None:
    absent = BenchRow.missing("scale-10", "before", "it is about something else")
    failed = BenchRow.missing("cold", "bake", "failed: no network")

    assert absent.document() == {
        **dict.fromkeys(KEYS),
        "case": "scale-10",
        "variant": "before",
        "runs": 0,
    } | {"not_run": "it is about something else"}
    assert (absent.failed, failed.failed) == (False, True)


def test_the_document_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = BenchReport(
        rows=(row("cold", "bake", 30.0, 5), BenchRow.missing("cold", "seed", "failed: x")),
        machine={"cpus": "2"},
        uncounted="there is no way to",
    )
    file = tmp_path / "bench.json"
    write_json(file, made.document())

    assert read_report(file) == made
    document = json.loads(file.read_text())
    assert document["schema"] == 1
    assert [list(each) for each in document["rows"]] == [KEYS, KEYS]
    assert document["bytes_not_counted"] == "there is no way to"


def test_only_rows_with_figures_are_found() -> None:
    made = report(row("cold", "bake", 30.0), BenchRow.missing("cold", "lamina", "failed: x"))

    assert made.find("cold", "bake") is made.rows[0]
    assert made.find("cold", "lamina") is None
    assert made.find("handler", "bake") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no file"),
        ("not json", "not a report of the bench"),
        ('{"schema": 2}', "not a report of the bench"),
        ('{"schema": 1}', "damaged"),
        ('{"schema": 1, "machine": {}, "bytes_not_counted": null, "rows": [{"seconds": null}]}', "damaged"),
    ],
)
def test_a_file_that_is_not_a_report_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    file = tmp_path / "old.json"
    if text is not None:
        file.write_text(text)

    with pytest.raises(ConfigError, match=message):
        read_report(file)
