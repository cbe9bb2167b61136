"""A shard has all bases, and some of the Lambda images."""

from __future__ import annotations

from lamina.flow.build import build_images
from lamina.flow.shard import only_shard
from memory import Shop

from ..conftest import Repo

D, L, E = "base-receipt-dynamo", "base-receipt-label", "lambda-embedding"


def test_shards_share_the_bases_and_divide_the_rest(receipts: Repo) -> None:
    nodes = receipts.graph().nodes
    names = tuple(nodes)
    bases = {name for name in names if nodes[name].kind == "base"}
    parts = [only_shard(names, nodes, f"{number}/2") for number in (1, 2)]

    assert bases
    assert all(bases <= {*part} for part in parts)
    rest = [name for part in parts for name in part if name not in bases]
    assert sorted(rest) == sorted({*names} - bases)
    assert [*parts[0]] == [name for name in names if name in parts[0]]


def test_a_shard_with_nothing_to_build_is_done(shop: Shop) -> None:
    outcome = build_images(shop.open(E, push=True, shard="2/2"), "build-all")

    assert outcome.ok
    assert outcome.results == {}
    assert shop.programs.calls == []


def test_a_shard_builds_the_bases_that_are_missing(shop: Shop) -> None:
    outcome = build_images(shop.open(E, push=True, shard="1/2"), "build-all")

    assert outcome.built == (D, L, E)
