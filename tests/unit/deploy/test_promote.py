from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest

from lamina.decide.plan import FoundImage
from lamina.deploy.promote import left_out, placed
from lamina.errors import SelectionError
from lamina.refs import Reference

FINGERPRINT = "ab" * 32
ONE, OTHER = (f"sha256:{each * 64}" for each in "12")
DEV, PROD = (Reference.parse(f"registry.example/app-{stack}") for stack in ("dev", "prod"))


def image(ref: Reference, digest: str) -> FoundImage:
    return FoundImage(ref=ref, digest=digest, fingerprint=FINGERPRINT)


def place(*there: tuple[Reference, str], lost: tuple[str, ...] = ()) -> tuple[Reference, bool]:
    """Return where an image of dev goes in prod, where these are, and whether it is there already.

    lost: blobs that prod's repository has lost of them.
    """
    stored = {ref: image(ref, digest) for ref, digest in there}

    def find(refs: Iterable[Reference]) -> Mapping[Reference, FoundImage]:
        return {ref: stored[ref] for ref in refs if ref in stored}

    def examine(images: Mapping[str, FoundImage]) -> Mapping[str, FoundImage]:
        return {name: replace(each, lost=lost) for name, each in images.items()}

    (made,) = placed({"app": image(DEV.with_digest(ONE), ONE)}, {"app": PROD}, find, examine)
    assert (made.tag, made.digest) == (TAG.tag, ONE)
    return made.target, made.present


TAG = PROD.with_tag("sha-abababababab")


def test_an_image_gets_its_content_tag() -> None:
    assert place() == (TAG, False)
    assert place((TAG, ONE)) == (TAG, True)


def test_a_tag_that_names_another_image_is_not_moved() -> None:
    by_digest = PROD.with_digest(ONE)

    assert place((TAG, OTHER)) == (by_digest, False)
    assert place((TAG, OTHER), (by_digest, ONE)) == (by_digest, True)


def test_an_image_that_has_lost_a_layer_is_sent_again() -> None:
    assert place((TAG, ONE), lost=("sha256:" + "3" * 64,)) == (TAG, False)


def test_images_with_functions_in_one_stack_only_are_named() -> None:
    notes = left_out({"dev": ["app", "jobs"], "prod": ["app", "mail"]})

    assert [each.what for each in notes] == [
        "jobs is left out: it has no function in prod",
        "mail is left out: it has no function in dev",
    ]
    with pytest.raises(SelectionError, match="no image has functions in both dev and prod") as caught:
        left_out({"dev": ["jobs"], "prod": ["mail"]})
    assert "dev: jobs; prod: mail" in str(caught.value)
