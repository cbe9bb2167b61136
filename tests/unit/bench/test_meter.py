"""Repeating, timing and counting runs."""

from __future__ import annotations

import base64
import json

import pytest

from bench.meter import Sample, Spread, Steps, TimeBudget, check, measure
from lamina.errors import BuildError
from lamina.process import Command, Completed
from lamina.sandbox.namespace import Traffic

from ..conftest import ScriptedRunner

COMMAND = Command(argv=("build",))
OK = (("build",), Completed(code=0, stdout="3"))


def sample(seconds: float) -> Sample:
    return Sample(seconds=seconds, traffic=None, steps=Steps())


def test_a_spread_has_the_ends_and_the_middle() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(min=1.0, median=2.0, max=3.0)
    assert Spread.of([4.0, 1.0]) == Spread(min=1.0, median=2.5, max=4.0)


@pytest.mark.parametrize(
    ("spent", "again"),
    [
        ([], True),
        ([1.0], True),
        ([1.0, 1.0, 1.0], False),
        ([6.0], False),
        ([5.0], True),
        ([60.0], False),
    ],
)
def test_runs_end_with_their_number_or_with_the_time(spent: list[float], again: bool) -> None:
    budget = TimeBudget(times=3, seconds=10.0)

    assert budget.again([sample(seconds) for seconds in spent]) is again


def test_each_run_is_prepared_and_only_what_it_moved_itself_is_counted() -> None:
    meters = iter([Traffic(internet=number, loopback=10 * number) for number in (0, 5, 100, 107)])
    prepared: list[int] = []

    samples = measure(
        ScriptedRunner([OK, OK]),
        lambda: COMMAND,
        lambda done: Steps(cached=int(done.stdout)),
        traffic=lambda: next(meters),
        budget=TimeBudget(times=2, seconds=60.0),
        before=prepared.append,
    )

    assert prepared == [0, 1]
    assert [each.traffic for each in samples] == [
        Traffic(internet=5, loopback=50),
        Traffic(internet=7, loopback=70),
    ]
    assert [each.steps.cached for each in samples] == [3, 3]


def test_bytes_that_are_not_counted_are_not_zero() -> None:
    (only,) = measure(
        ScriptedRunner([OK]),
        lambda: COMMAND,
        lambda _: Steps(),
        traffic=lambda: None,
        budget=TimeBudget(times=1, seconds=1.0),
    )

    assert only.traffic is None


def test_a_command_that_fails_says_the_end_of_what_it_said() -> None:
    words = "\n".join(f"line {number}" for number in range(40))
    runner = ScriptedRunner([(("build",), Completed(code=3, stderr=words))])

    with pytest.raises(BuildError, match="line 39") as caught:
        measure(
            runner,
            lambda: COMMAND,
            lambda _: Steps(),
            traffic=lambda: None,
            budget=TimeBudget(times=1, seconds=1.0),
        )

    assert "ended with 3" in str(caught.value)
    assert "line 5" not in str(caught.value)


def test_of_a_build_that_breaks_the_log_of_the_broken_step_is_reported() -> None:
    def vertex(digest: str, **more: str) -> str:
        return json.dumps({"vertexes": [{"digest": digest, "name": f"[a 1/2] RUN {digest}", **more}]})

    def log(digest: str, text: str) -> str:
        data = base64.b64encode(text.encode()).decode()
        return json.dumps({"logs": [{"vertex": digest, "data": data}]})

    said = [
        vertex("good"),
        log("good", "a hundred packages\n"),
        vertex("bad"),
        log("bad", "no such package\n"),
        vertex("bad", error="exit code: 1"),
        "ERROR: target a: failed to solve",
        "see the log",
    ]
    command = Command(argv=("nsenter", "--net=n", "--", "/far/docker-buildx", "bake", "--file=a"))

    with pytest.raises(BuildError) as caught:
        check(command, Completed(code=1, stderr="\n".join(said)))

    first, *others = str(caught.value).splitlines()
    assert first == "`docker-buildx bake --file=a` ended with 1: ERROR: target a: failed to solve"
    assert others == ["  | no such package", "  | ERROR: target a: failed to solve", "  | see the log"]
