"""Further tags on images that exist."""

from __future__ import annotations

import pytest

from lamina.errors import BuildError
from lamina.flow.build import build_images
from lamina.flow.tags import apply_tags, make_tags, move_stable
from memory import Shop

D, L, E, W = "base-receipt-dynamo", "base-receipt-label", "lambda-embedding", "lambda-word-label"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_a_clean_tree_gives_its_images_the_tag_of_the_commit(shop: Shop) -> None:
    build_images(shop.open(push=True), "build-all")
    shop.programs.commit = COMMIT
    session = shop.open(push=True)

    apply_tags(session, make_tags(session))

    for name in (D, L, E, W):
        (content,) = shop.registry.tags(f"{name}-dev") - {"git-0123456"}
        repository = f"{name}-dev"
        assert shop.registry.digest(repository, "git-0123456") == shop.registry.digest(repository, content)


def test_outside_git_there_is_only_the_content_tag(shop: Shop) -> None:
    assert {len(each.tags) for each in make_tags(shop.open())} == {1}


def test_in_static_mode_bases_are_to_be_stable_too(shop: Shop) -> None:
    tagged = {each.image.name: each.tags[1:] for each in make_tags(shop.open(D, L, static=True))}

    assert tagged == {D: ("stable",), L: ("stable",)}


def test_missing_images_are_not_tagged(shop: Shop) -> None:
    session = shop.open(push=True)

    with pytest.raises(BuildError) as raised:
        apply_tags(session, make_tags(session))

    assert len(raised.value.problems) == 4
    assert shop.registry.manifests == {}


def test_stable_moves_to_the_current_content(shop: Shop) -> None:
    build_images(shop.open(push=True), "build-all")
    moved = move_stable(shop.open(push=True))
    before = {name: ref.digest for name, ref in moved.items()}
    shop.repo.write("receipt_label/receipt_label/__init__.py", "VALUE = 1\n")
    build_images(shop.open(push=True), "build-all")

    after = {name: ref.digest for name, ref in move_stable(shop.open(push=True)).items()}

    assert set(after) == {D, L}
    assert after[D] == before[D]
    assert after[L] != before[L]
    assert shop.registry.digest(f"{L}-dev", "stable") == after[L]
