"""Which builder builds which images next, and what more builders would bring."""

from __future__ import annotations

import random

import pytest

from lamina.decide.schedule import Job, chains, lower_bound, next_share, parse_shard, shard_numbers, simulate
from lamina.errors import ConfigError


def job(name: str, seconds: float, *parents: str) -> Job:
    return Job(name=name, seconds=seconds, parents=frozenset(parents))


TREE = (job("low", 5), job("high", 5, "low"), job("a", 9, "high"), job("b", 2, "low"), job("alone", 30))


def test_a_chain_is_as_long_as_its_longest_branch() -> None:
    assert chains(TREE) == {"low": 19, "high": 14, "a": 9, "b": 2, "alone": 30}


def test_bases_come_before_what_takes_longer() -> None:
    assert next_share(TREE, (), builders=2, idle=2) == ("low",)
    assert next_share(TREE, {"low"}) == ("alone",)


def test_an_image_waits_for_its_base() -> None:
    assert next_share(TREE, {"low", "alone"}) == ()
    assert next_share(TREE[1:], {"alone"}) == ("high", "b")


def test_what_is_left_to_others_is_not_taken_and_still_awaited() -> None:
    assert next_share(TREE, (), barred={"alone"}) == ("low",)
    assert next_share(TREE, (), barred={"low"}) == ("alone",)


def test_idle_builders_get_equal_parts_and_the_last_one_all() -> None:
    jobs = [job(f"f{number}", 3.7) for number in range(6)]
    first = next_share(jobs, (), builders=3, idle=3)
    second = next_share(jobs, first, builders=3, idle=2)
    third = next_share(jobs, {*first, *second}, builders=3, idle=1)
    assert [len(each) for each in (first, second, third)] == [2, 2, 2]
    assert {*first, *second, *third} == {each.name for each in jobs}


@pytest.mark.parametrize("seconds", [0.0, 0.1])
def test_images_that_took_no_time_are_shared_as_well(seconds: float) -> None:
    jobs = [job(f"f{number}", seconds) for number in range(9)]
    assert [len(next_share(jobs, (), builders=3, idle=idle)) for idle in (3, 2, 1)] == [3, 4, 4]


def test_a_builder_that_ends_early_leaves_something_to_those_that_end_later() -> None:
    jobs = [job(f"f{number}", 1) for number in range(40)]
    assert len(next_share(jobs, (), builders=4, idle=1)) == 10
    assert len(next_share(jobs[:6], (), builders=4, idle=1)) == 4


def test_a_call_has_at_most_so_many_images() -> None:
    assert len(next_share([job(f"f{number}", 1) for number in range(9)], (), most=4)) == 4


def test_a_builder_first_gets_what_it_has_the_layers_of_and_last_what_another_has() -> None:
    jobs = [job("new", 3), job("theirs", 9), job("child", 3), job("mine", 3)]
    made = {"theirs": "b", "mine": "a"}
    assert next_share(jobs, (), builder="a", builders=9, idle=9, made=made) == ("mine",)
    assert next_share(jobs, (), builder="b", builders=9, idle=9, made=made) == ("theirs",)
    assert next_share(jobs, (), builder="c", builders=9, idle=9, made=made) == ("new",)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("builders", [1, 2, 4, 8])
def test_every_image_is_built_once_and_no_worse_than_twice_the_bound(seed: int, builders: int) -> None:
    """Graham's bound for list scheduling: 2 - 1/builders; calls of several images count as one."""
    rng = random.Random(seed)
    jobs: list[Job] = []
    for number in range(rng.randint(1, 60)):
        parents = rng.sample([each.name for each in jobs], k=min(len(jobs), rng.randint(0, 2)))
        jobs.append(job(f"i{number}", rng.randint(1, 50), *parents))

    seconds = simulate(jobs, builders, most=1)

    assert lower_bound(jobs, builders) <= seconds <= (2 - 1 / builders) * lower_bound(jobs, builders)
    if builders == 1:
        assert seconds == sum(each.seconds for each in jobs)


@pytest.mark.parametrize("shards", [1, 2, 5, 10**12])
def test_an_image_is_in_the_same_shard_whoever_asks(shards: int) -> None:
    jobs = [job(f"f{number}", number % 4 + 1) for number in range(7)]
    found = shard_numbers(jobs, shards)
    assert found.keys() == {each.name for each in jobs}
    assert {*found.values()} == set(range(1, min(shards, len(jobs)) + 1))
    assert found == shard_numbers(reversed(jobs), shards)


def test_shards_take_about_the_same_time() -> None:
    jobs = [job("long", 8), job("a", 3), job("b", 3), job("c", 3)]
    assert shard_numbers(jobs, 2) == {"long": 1, "a": 2, "b": 2, "c": 2}


@pytest.mark.parametrize("text", ["2", "0/5", "6/5", "a/5", "1/", "-1/5", "1/5/5"])
def test_what_is_not_a_shard_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(ConfigError, match="1/5 to 5/5"):
        parse_shard(text)
