"""Figures as people read them."""

from __future__ import annotations

import pytest

from lamina.report import figures


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (2_400, "2 kB"),
        (140_000, "0.1 MB"),
        (46_500_000, "46 MB"),
        (9_400_000, "9.4 MB"),
    ],
)
def test_sizes(count: int | None, shown: str) -> None:
    assert figures.size(count) == shown


def test_seconds_have_digits_that_say_something() -> None:
    assert [figures.seconds(value) for value in (0.584, 3.14, 71.4)] == ["0.58 s", "3.1 s", "71 s"]
    assert [figures.seconds(value) for value in (119.4, 120, 2081.4, 3600, 7325)] == [
        "119 s",
        "2 min 0 s",
        "34 min 41 s",
        "1 h 0 min",
        "2 h 2 min",
    ]


def test_a_share_of_nothing_is_not_reported() -> None:
    assert (figures.share(3, 4), figures.share(0, 0)) == ("75 %", "-")
