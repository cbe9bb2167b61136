"""Spread the builds of a run over several builders: which builder builds which images next. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from lamina.errors import ConfigError

_LEAST_SECONDS = 0.1
"""What a build counts at least: an earlier one may have been found in a cache."""
AT_ONCE = 4
"""Images that a builder builds about as fast as one: most of a build waits for a network or a disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A build. seconds: predicted. parents: the images it is built from, as far as they are built as well."""

    name: str
    seconds: float
    parents: frozenset[str] = frozenset()


def chains(jobs: Iterable[Job]) -> Mapping[str, float]:
    """Return for each job the seconds of the longest chain that begins with it.

    jobs: in build order, bases first.
    """
    listed = tuple(jobs)
    below: dict[str, float] = {}
    for job in reversed(listed):
        below[job.name] = job.seconds + below.get(job.name, 0.0)
        for parent in job.parents:
            below[parent] = max(below.get(parent, 0.0), below[job.name])
    return {job.name: below[job.name] for job in listed}


def next_share(
    jobs: Iterable[Job],
    busy: Collection[str],
    *,
    builder: str = "",
    builders: int = 1,
    idle: int = 1,
    made: Mapping[str, str] | None = None,
    most: int = 0,
    barred: Collection[str] = (),
) -> tuple[str, ...]:
    """Return the jobs that an idle builder builds next, in one call; empty if it must wait.

    It gets a part of what can be built now: one for each builder, so that something is left for those that
    end later. It gets no fewer images than a builder builds at the same time anyway, if there are enough for
    those that are idle. Bases come before all others, longest chain first. Of the rest, those that this
    builder made before, or whose bases it made, come first, because it has the layers; those of other
    builders come last.

    Args:
        jobs: what is not built yet, in build order; of these ``busy`` are being built.
        builder: its name.
        builders: how many there are.
        idle: how many of them are idle, this one included.
        made: image -> the builder that made it last.
        most: jobs in one call; 0: no limit.
        barred: jobs that are left to other builders.
    """
    listed = tuple(jobs)
    waiting = {job.name for job in listed}
    length = chains(listed)
    taken_up = {*busy, *barred}
    ready = [job for job in listed if job.name not in taken_up and waiting.isdisjoint(job.parents)]
    if not ready:
        return ()
    deep = {job.name for job in ready if length[job.name] > job.seconds}
    ready.sort(key=lambda job: (job.name not in deep, _distance(job, builder, made or {}), -length[job.name]))
    weight = {job.name: max(job.seconds, _LEAST_SECONDS) for job in ready}
    share = sum(weight.values()) / builders
    least = min(AT_ONCE, -(-len(ready) // idle))
    chosen: list[str] = []
    taken = 0.0
    for job in ready:
        enough = taken + weight[job.name] / 2 > share and len(chosen) >= least
        if chosen and (enough or len(chosen) == most):
            break
        chosen.append(job.name)
        taken += weight[job.name]
    return tuple(chosen)


def _distance(job: Job, builder: str, made: Mapping[str, str]) -> int:
    """Return 0 if a builder has layers that a job needs, 2 if only another has, 1 if that is not known."""
    owners = {made[name] for name in (job.name, *job.parents) if name in made}
    if not owners:
        return 1
    return 0 if builder in owners else 2


def simulate(jobs: Iterable[Job], builders: int, *, at_once: int = 1, most: int = 0) -> float:
    """Return the seconds that a run on some builders takes.

    at_once: images that a builder builds as fast as one. most: as in `next_share`.
    """
    left = {job.name: job for job in jobs}
    made: dict[str, str] = {}
    running: list[tuple[float, int, tuple[str, ...]]] = []
    idle, now = list(range(builders)), 0.0
    while left:
        busy = {name for _, _, names in running for name in names}
        for builder in tuple(idle):
            share = next_share(
                left.values(),
                busy,
                builder=str(builder),
                builders=builders,
                idle=len(idle),
                made=made,
                most=most,
            )
            if share:
                idle.remove(builder)
                busy.update(share)
                each = [left[name].seconds for name in share]
                seconds = max(*each, sum(each) / at_once)
                heapq.heappush(running, (now + seconds, builder, share))
        now, builder, names = heapq.heappop(running)
        idle.append(builder)
        made |= dict.fromkeys(names, str(builder))
        for name in names:
            del left[name]
    return now


def lower_bound(jobs: Iterable[Job], builders: int, *, at_once: int = 1) -> float:
    """Return the seconds that no spreading can beat: the longest chain, or an equal part of all work."""
    listed = tuple(jobs)
    longest = max(chains(listed).values(), default=0.0)
    return max(longest, sum(job.seconds for job in listed) / builders / at_once)


def parse_shard(text: str) -> tuple[int, int]:
    """Return number and count of ``2/5``. Raises ConfigError if that is not one of several parts."""
    number, slash, shards = text.partition("/")
    if not (slash and number.isdecimal() and shards.isdecimal() and 1 <= int(number) <= int(shards)):
        raise ConfigError.of(
            f"{text!r} is not a shard", where="--shard", allowed="1/5 to 5/5 for the parts of five"
        )
    return int(number), int(shards)


def shard_numbers(jobs: Iterable[Job], shards: int) -> Mapping[str, int]:
    """Return the number of the shard of each job, from 1.

    The longest job goes first, each to the shortest shard. Bases are built before, so chains do not count.
    """
    listed = sorted(jobs, key=lambda job: (-job.seconds, job.name))
    sums = [(0.0, number) for number in range(1, min(shards, len(listed)) + 1)]
    chosen: dict[str, int] = {}
    for job in listed:
        total, number = heapq.heappop(sums)
        heapq.heappush(sums, (total + job.seconds, number))
        chosen[job.name] = number
    return chosen
