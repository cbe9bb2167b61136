"""Garbage collection from the registry's lists to what is left, with a registry in memory."""

from __future__ import annotations

from lamina.ecr.gc import collect, plan_collection
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
