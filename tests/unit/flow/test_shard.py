"""A shard has all bases, and some of the Lambda images."""

from __future__ import annotations

from lamina.flow.shard import only_shard

from ..conftest import Repo


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
