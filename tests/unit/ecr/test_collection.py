"""Garbage collection from the registry's lists to what is left, with a registry in memory."""

from __future__ import annotations

from datetime import UTC, datetime

from lamina.ecr.gc import collect, judge_all, plan_collection
from lamina.ecr.retention import PULLED, HeldManifest, RetentionRules
from lamina.flow.build import build_images
from memory import Shop

D, L, E, W = "base-receipt-dynamo", "base-receipt-label", "lambda-embedding", "lambda-word-label"


def test_an_old_image_goes_and_the_current_ones_stay(shop: Shop) -> None:
    build_images(shop.open(push=True), "build-all")
    (old,) = shop.registry.tags(f"{E}-dev")
    shop.repo.write("embedding/handler.py", "def handler(event, context): return 1\n")
    build_images(shop.open(push=True), "build-all")
    before = {name: shop.registry.tags(f"{name}-dev") for name in (D, L, E, W)}
    assert len(before[E]) == 2

    collection = plan_collection(shop.open(), keep_last="1", days="0", apply=True)
    collected = collect(shop.open(), collection)

    assert collected.error is None
    assert [each.tags for each in collected.deleted] == [(old,)]
    assert {name: shop.registry.tags(f"{name}-dev") for name in before} == {**before, E: before[E] - {old}}


def test_bases_of_bases_need_no_stable_tag_in_static_mode(shop: Shop) -> None:
    for base in (D, L):
        build_images(shop.open(base, push=True), "build-base")
        (tag,) = shop.registry.tags(f"{base}-dev")
        shop.registry.manifests[f"{base}-dev", "stable"] = shop.registry.manifests[f"{base}-dev", tag]

    assert plan_collection(shop.open(static=True)).verdicts


def test_an_image_that_only_a_pull_keeps_is_not_read_again(shop: Shop) -> None:
    """Reading its manifest would count as a pull, and keep it for ever."""
    kept = HeldManifest(
        repository="lambda-embedding-dev",
        digest="sha256:" + "1" * 64,
        tags=(),
        size=1,
        pushed=datetime(2020, 1, 1, tzinfo=UTC),
        kind="image",
        pulled=datetime(2029, 12, 31, tzinfo=UTC),
    )
    rules = RetentionRules(
        now=datetime(2030, 1, 1, tzinfo=UTC), keep_last=1, days=1, cache_days=1, pulled_days=7
    )

    (verdict,), links = judge_all(shop.open(), (kept,), rules, {})

    assert (verdict.rule, links) == (PULLED, {})
    assert not [each for each in shop.registry.asked if kept.digest in each]
