"""Shards of a project's Lambda images, for CI whose runners are the builders: the same on every machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lamina.decide.schedule import Job, parse_shard, shard_numbers
from lamina.declare.graph import Node

_STEP_SECONDS, _RUN_SECONDS = 0.2, 10.0
"""What an instruction, and what a RUN besides, counts: no machine knows the earlier builds of all others."""


def only_shard(names: Sequence[str], nodes: Mapping[str, Node], text: str) -> tuple[str, ...]:
    """Return the bases, and of the Lambda images those of a shard. text: ``2/5`` for the second of five.

    Raises ConfigError if it is not one of several parts.
    """
    number, shards = parse_shard(text)
    numbers = shards_of(names, nodes, shards)
    return tuple(name for name in names if numbers.get(name, number) == number)


def shards_of(names: Iterable[str], nodes: Mapping[str, Node], shards: int) -> Mapping[str, int]:
    """Return the number of the shard of each Lambda image among some images."""
    lambdas = (nodes[name] for name in names if nodes[name].kind == "lambda")
    return shard_numbers((Job(name=each.name, seconds=likely_seconds(each)) for each in lambdas), shards)


def likely_seconds(node: Node) -> float:
    """Return the seconds that a build of an image takes, as its Dockerfile makes one expect."""
    steps = [each.name for stage in node.recipe.stages for each in stage.stage.instructions]
    return _STEP_SECONDS * len(steps) + _RUN_SECONDS * steps.count("RUN")
