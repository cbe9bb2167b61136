"""`check`: which images are meant by names and references."""

from __future__ import annotations

import pytest

from lamina.deploy.check import check_images
from lamina.errors import BuildError
from lamina.flow.build import build_images
from memory import HOST, Shop

W = "lambda-word-label"


def test_a_word_that_is_an_image_of_the_project_is_that_image(shop: Shop) -> None:
    build_images(shop.open(push=True), "build-all")
    tag = next(each.found.ref for each in check_images(shop.open(W)))

    found = check_images(shop.open(), (str(tag), W))

    assert [each.name for each in found] == [W, str(tag)]
    assert found[0].found.ref == tag


def test_an_image_of_the_project_that_is_not_pushed_names_the_next_step(shop: Shop) -> None:
    with pytest.raises(BuildError, match=f"build-all --push --image {W}") as raised:
        check_images(shop.open(), (W,))

    assert HOST in str(raised.value)
    assert "docker.io" not in str(raised.value)
