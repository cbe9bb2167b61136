"""When an exchange counts as standing still, with a clock that is told."""

from __future__ import annotations

from lamina.registries.pace import SLOWEST, Pace


def test_nothing_for_the_whole_window_is_a_stall() -> None:
    pace = Pace(120, now=1000)

    assert pace.left(1000) == 120
    assert pace.left(1119) == 1
    assert pace.left(1120) == 0
    assert pace.left(2000) == 0


def test_a_byte_every_two_seconds_is_not_progress() -> None:
    pace = Pace(120, now=0)
    for second in range(0, 120, 2):
        pace.moved(1, second)

    assert pace.left(120) == 0


def test_a_slow_line_is_progress() -> None:
    pace = Pace(120, now=0)
    for second in range(1, 3600):
        pace.moved(SLOWEST + 50, second)
        assert pace.left(second) > 0, second


def test_a_restart_begins_another_window() -> None:
    pace = Pace(120, now=0)
    pace.moved(10, 100)
    pace.restart(119)

    assert pace.left(200) == 39


def test_no_limit() -> None:
    assert Pace(0, now=0).left(1e9) == float("inf")
