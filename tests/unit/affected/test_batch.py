"""Affected images in batches: bases, and the shards that `build-all --shard` has."""

from __future__ import annotations

from lamina.affected.batch import BASES, make_batches
from lamina.affected.image import AffectedImage
from lamina.flow.snapshot import select
from memory import Shop

D, L, E, W = "base-receipt-dynamo", "base-receipt-label", "lambda-embedding", "lambda-word-label"


def affected(*names: str) -> list[AffectedImage]:
    return [AffectedImage(name=name, how="build", reasons=()) for name in names]


def test_batches_are_the_bases_and_then_the_shards_of_a_build(shop: Shop) -> None:
    session = shop.open()
    batches = make_batches(session, affected(D, L, E, W), 2)

    assert (batches[0].shard, batches[0].images) == (BASES, (D, L))
    assert [each.wave for each in batches] == [0, 1, 1]
    assert [each.seconds for each in batches[1:]] == sorted((b.seconds for b in batches[1:]), reverse=True)
    for each in batches[1:]:
        selected = select(shop.open(shard=each.shard))
        assert each.images == tuple(name for name in selected if name not in (D, L))


def test_shards_do_not_depend_on_what_has_changed(shop: Shop) -> None:
    session = shop.open()
    whole = {
        name: each.shard for each in make_batches(session, affected(D, L, E, W), 2) for name in each.images
    }
    for name in (E, W):
        (batch,) = make_batches(session, affected(name), 2)
        assert (batch.shard, batch.images) == (whole[name], (name,))
    gone = AffectedImage(name="gone", how="removed", reasons=())
    assert make_batches(session, [gone], 2) == ()
