"""Waiting for what ECR replicates to another region."""

from __future__ import annotations

import pytest

from lamina.deploy.regions import replicated


@pytest.mark.parametrize(
    ("states", "arrives", "found", "slept"),
    [
        ([None], 9, False, 0),  # no replication
        (["FAILED"], 9, False, 0),
        (["COMPLETE"], 0, True, 0),
        (["COMPLETE"], 9, False, 0),  # deleted there: it is copied
        (["IN_PROGRESS", "IN_PROGRESS", "COMPLETE"], 2, True, 2),
        (["IN_PROGRESS", "FAILED"], 9, False, 1),
        (["IN_PROGRESS"] * 1000, 2000, False, 150),  # five minutes are enough
    ],
)
def test_a_replica_under_way_is_waited_for(
    states: list[str | None], arrives: int, found: bool, slept: int
) -> None:
    """arrives: the look at which the other region has the image, counted from 0."""
    waited: list[float] = []
    told: list[str] = []
    looks = iter(range(10_000))
    read = iter(states)

    done = replicated(
        lambda: next(read),
        lambda: next(looks) >= arrives,
        begin=lambda: told.append("waiting"),
        sleep=waited.append,
        clock=lambda: sum(waited),
    )

    assert (done, len(waited)) == (found, slept)
    assert told == (["waiting"] if slept else [])
