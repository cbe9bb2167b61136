from __future__ import annotations

import pytest

from lamina.ecr.costs import dollars, stored_bytes
from lamina.ecr.retention import HeldManifest, Kind

GB = 2**30


def held(digest: str, size: int, *, repository: str = "app", kind: Kind = "image") -> HeldManifest:
    return HeldManifest(repository=repository, digest=digest, tags=(), size=size, pushed=None, kind=kind)


BLOBS = {"one": {"base": 100, "code": 1}, "two": {"base": 100, "more": 2}}


def test_a_layer_that_images_share_counts_once() -> None:
    images = [held("one", 101), held("two", 102), held("unread", 50), held("list", 101, kind="index")]

    assert stored_bytes(images, BLOBS, shared=True) == 103 + 50
    assert stored_bytes(images, {}, shared=True) == 101 + 102 + 50


def test_repositories_that_do_not_share_store_a_layer_each() -> None:
    images = [held("one", 101), held("two", 102, repository="base")]

    assert stored_bytes(images, BLOBS, shared=True) == 103
    assert stored_bytes(images, BLOBS, shared=False) == 203


def test_ten_gigabytes_cost_a_dollar_a_month() -> None:
    assert dollars(10 * GB) == pytest.approx(1.0)
