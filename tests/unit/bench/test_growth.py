"""The slope of a plan's cost, and its chart."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import chart
from bench.growth import HEADINGS, Point, repeat, slope, slopes
from lamina.process import Command, Completed

from ..conftest import ScriptedRunner


def point(images: int, files: int, first: float) -> Point:
    return Point(images=images, files=files, first=first, again=first / 2, memory=50_000_000)


def test_a_slope_is_that_of_the_line_that_fits_best() -> None:
    assert slope([(10, 1.0), (20, 1.5), (30, 2.0)]) == pytest.approx(0.05)
    assert slope([(10, 1.0)]) == 0.0


def test_slopes_are_named_for_images_and_for_files() -> None:
    by_images = [point(10, 5_000, 1.0), point(110, 5_000, 2.0)]
    by_files = [point(20, 5_000, 1.0), point(20, 15_000, 3.0)]

    assert list(slopes(by_images, by_files)) == [
        "the first plan: 10.0 ms for each image",
        "the first plan: 200.0 ms for each 1,000 files",
        "the second plan: 5.0 ms for each image",
        "the second plan: 100.0 ms for each 1,000 files",
    ]
    assert len(by_images[0].row) == len(HEADINGS)


def test_the_chart_is_the_same_for_the_same_figures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    curves = [("images", [(10, 0.5, 0.2), (100, 1.0, 0.4)]), ("files", [(5_000, 0.5, 0.2)])]

    for name in ("one", "two"):
        chart.draw_growth(curves, tmp_path / f"{name}.svg")

    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


@pytest.mark.parametrize(("seconds", "runs"), [(1.0, 3), (8.0, 2), (90.0, 1)])
def test_what_takes_long_is_not_repeated_as_often(seconds: float, runs: int) -> None:
    took = Completed(code=0, stderr=f"{seconds} 1000\n")

    assert len(repeat(ScriptedRunner([((), took)] * runs), Command(argv=("plan",)), 3)) == runs
