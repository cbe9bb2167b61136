"""Two states of an image compared: worktree, last build, tags and digests of a registry."""

from __future__ import annotations

import pytest

from lamina.errors import ConfigError, RegistryError
from lamina.flow.build import build_images
from lamina.flow.snapshot import take_snapshot
from lamina.flow.why import explain
from memory import HOST, Shop

D, L, E, W = "base-receipt-dynamo", "base-receipt-label", "lambda-embedding", "lambda-word-label"


def differences(shop: Shop, image: str, before: str, after: str = "worktree") -> dict[str, set[str]]:
    found = explain(shop.open(push=True), image, before, after)
    return {each.image: {change.subject for change in each.changes} for each in found}


def test_the_last_build_differs_from_the_worktree_by_the_edited_file(shop: Shop) -> None:
    build_images(shop.open(push=True), "build-all")
    assert differences(shop, E, "last") == {E: set()}

    shop.repo.write("receipt_dynamo/receipt_dynamo/tables.json", '{"more": 1}\n')

    found = differences(shop, E, "last")
    assert set(found) == {E, L, D}
    assert found[D] == {"receipt_dynamo/receipt_dynamo/tables.json"}


def test_a_build_of_another_platform_is_named(shop: Shop) -> None:
    build_images(shop.open(push=True), "build-all")
    session = shop.open(push=True, platform="linux/arm64")

    (change,) = explain(session, W, "last", "worktree")[0].changes

    assert change.text == "nothing is known of it before for linux/arm64; built here for linux/amd64"
    assert differences(shop, W, "last") == {W: set()}


def test_an_image_that_was_never_built_has_no_other_platform(shop: Shop) -> None:
    (change,) = explain(shop.open(), W, "last", "worktree")[0].changes

    assert change.text == "nothing is known of it before"


def test_a_pushed_image_says_what_it_was_built_from(shop: Shop) -> None:
    """On another machine nothing is kept: the annotations are read."""
    build_images(shop.open(push=True), "build-all")
    image = take_snapshot(shop.open(), (W,)).images[W]
    shop.repo.remove(".lamina")
    shop.repo.write("word_label/handler.py", "def handler(event, context): return 2\n")

    by_tag = differences(shop, W, image.tag)
    by_digest = differences(shop, W, shop.registry.digest(f"{W}-dev", image.tag))
    by_reference = differences(shop, W, f"{HOST}/{W}-dev:{image.tag}")

    assert by_tag == by_digest == by_reference == {W: {"word_label/handler.py"}}


def test_an_image_that_others_built_carries_nothing_to_compare(shop: Shop) -> None:
    image = take_snapshot(shop.open(), (W,)).images[W]
    shop.registry.push(image.repository.with_tag("stable"), {})

    with pytest.raises(RegistryError, match="did not build it"):
        differences(shop, W, "stable")


def test_a_name_that_is_no_state_is_a_configuration_error(shop: Shop) -> None:
    with pytest.raises(ConfigError, match="is not a state"):
        differences(shop, W, "no-such-revision")
