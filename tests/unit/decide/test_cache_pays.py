"""Whether writing a remote cache pays."""

from __future__ import annotations

import pytest

from lamina.decide.cache_pays import WINDOW, CacheHistory, CacheRun, why_not_written, with_run


def history(*costs_and_savings: tuple[float, float | None]) -> CacheHistory:
    return CacheHistory(
        runs=tuple(
            CacheRun(run=f"{number:03}", cost=cost, saved=saved)
            for number, (cost, saved) in enumerate(costs_and_savings)
        )
    )


def test_a_cache_is_written_until_ten_runs_are_known() -> None:
    assert why_not_written(CacheHistory()) is None
    assert why_not_written(history(*[(5.0, 0.0)] * (WINDOW - 1))) is None
    assert why_not_written(history(*[(5.0, 0.0)] * WINDOW)) == (
        "in its last 10 runs exports took 50.0 s and it saved 0.0 s"
    )


@pytest.mark.parametrize(("saved", "written"), [(49.9, False), (50.0, True), (600.0, True)])
def test_it_is_written_if_it_saved_what_it_cost(saved: float, written: bool) -> None:
    runs = [(5.0, 0.0)] * (WINDOW - 1)

    assert (why_not_written(history(*runs, (5.0, saved))) is None) is written


def test_only_the_last_ten_runs_count() -> None:
    assert why_not_written(history((0.0, 900.0), *[(5.0, 0.0)] * WINDOW)) is not None
    assert why_not_written(history((900.0, 0.0), *[(5.0, 5.0)] * WINDOW)) is None


def test_a_run_whose_savings_are_unknown_keeps_it_written() -> None:
    assert why_not_written(history((5.0, None), *[(5.0, 0.0)] * (WINDOW - 1))) is None


def test_a_damaged_figure_keeps_it_written() -> None:
    assert why_not_written(history(*[(float("nan"), 0.0)] * WINDOW)) is None


def test_a_cache_that_does_not_pay_is_written_again_after_ten_runs_and_as_soon_as_it_pays() -> None:
    """An export costs 3 s. First no run saves anything; from the 40th on each saves 1 s."""
    known, exports = CacheHistory(), []
    for number in range(70):
        writes = why_not_written(known) is None
        exports += [number] * writes
        run = CacheRun(run=f"{number:03}", cost=3.0 * writes, saved=float(number >= 40))
        known = with_run(known, run, {})

    assert [each for each in exports if each < 50] == [*range(10), 20, 31, 42, 43, 46, 49]
    for first in range(50, 61):  # no ten runs cost more than they saved and one export
        assert 3.0 * sum(first <= each < first + 10 for each in exports) <= 10.0 + 3.0


def test_a_history_keeps_ten_runs_in_their_order_and_the_last_seconds_of_each_step() -> None:
    known = CacheHistory()
    for number in (*range(12), 3):  # the last one again
        known = with_run(known, CacheRun(run=f"{number:03}", cost=1.0, saved=0.0), {"a": float(number)})
    known = with_run(known, CacheRun(run="012", cost=1.0, saved=0.0), {"b": 1.0})

    assert [each.run for each in known.runs] == [f"{number:03}" for number in range(3, 13)]
    assert known.steps == {"a": 3.0, "b": 1.0}
