from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lamina.decide.plan import FoundImage, StoreLookup, lacking, make_plan
from lamina.refs import Reference

from ..conftest import DIGEST, RUNTIME, Repo, Shelf

D, L, E, W = "base-receipt-dynamo", "base-receipt-label", "lambda-embedding", "lambda-word-label"


def test_nothing_there_everything_is_built_bases_first(receipts: Repo, shelf: Shelf) -> None:
    plan = receipts.plan(shelf)

    assert list(plan.decisions) == [D, L, W, E]
    assert [each.action for each in plan.decisions.values()] == ["build"] * 4
    assert not plan.empty
    tag = plan.decisions[D].image.tag
    assert plan.decisions[D].reasons == (f"{tag} is not yet in the shelf",)


def test_a_built_image_that_is_gone_says_so(receipts: Repo, shelf: Shelf) -> None:
    shelf.put(receipts.images().values())
    shelf.refs.clear()

    decision = receipts.plan(shelf).decisions[D]

    assert decision.reasons == (f"{decision.image.tag} is no longer in the shelf",)


def test_an_existing_image_is_skipped_with_its_place(receipts: Repo, shelf: Shelf) -> None:
    shelf.put(receipts.images().values())

    plan = receipts.plan(shelf)

    assert plan.empty
    assert plan.acting("build") == ()
    assert len(plan.acting("skip")) == 4
    assert plan.decisions[D].source == plan.found[D]


def test_the_same_content_elsewhere_is_retagged(receipts: Repo) -> None:
    images = receipts.images()
    elsewhere = {W: FoundImage(ref=Reference.parse("r.example/old:sha-1"), digest=DIGEST)}

    plan = make_plan(images, [W], StoreLookup(store="here", elsewhere=elsewhere), last={})

    assert plan.decisions[W].action == "retag"
    assert plan.decisions[W].reasons == ("the same content is at r.example/old:sha-1",)
    assert plan.decisions[W].source == elsewhere[W]
    assert list(plan.decisions) == [W]
    assert not plan.empty


def test_a_build_uses_a_base_that_the_same_plan_retags(receipts: Repo) -> None:
    images = receipts.images()
    source = FoundImage(ref=Reference.parse("r.example/old:sha-1"), digest=DIGEST)

    plan = make_plan(images, [W], StoreLookup(store="here", elsewhere={D: source}), last={})

    assert {name: each.action for name, each in plan.decisions.items()} == {D: "retag", W: "build"}
    assert plan.found == {D: source}


OTHER = "sha256:" + "9" * 64


@pytest.mark.parametrize(
    ("found", "reason", "no_cache"),
    [
        ({"fingerprint": None}, "exists in here but carries no fingerprint: Lamina did not build it", False),
        ({"fingerprint": OTHER}, "exists in here but was built from different inputs", False),
        ({"lost": (DIGEST,)}, f"in here has lost its configuration {DIGEST[:19]}", False),
        ({"lost": (OTHER,)}, f"in here has lost its layer {OTHER[:19]}", True),
        ({"lost": (OTHER, RUNTIME)}, "in here has lost 2 of its layers", True),
    ],
)
def test_an_image_whose_tag_is_another_image_is_built(
    receipts: Repo, found: dict[str, Any], reason: str, no_cache: bool
) -> None:
    """Steps whose layers are gone run again: a cache that is kept beside them may be without them too."""
    images = receipts.images()
    seen = FoundImage(
        **{
            "ref": images[D].ref,
            "digest": DIGEST,
            "config": DIGEST,
            "fingerprint": images[D].fingerprint,
            **found,
        }
    )

    decision = make_plan(images, [D], StoreLookup(store="here", found={D: seen}), last={}).decisions[D]

    assert (decision.action, decision.no_cache) == ("build", no_cache)
    assert decision.reasons == (f"{images[D].tag} {reason}",)


def test_a_damaged_image_is_not_retagged(receipts: Repo) -> None:
    image = receipts.images()[D]
    whole = FoundImage(ref=image.ref, digest=DIGEST, fingerprint=image.fingerprint)
    less = replace(whole, lost=(OTHER,))

    assert lacking(StoreLookup(store="here", found={D: whole}), {D: less}).found == {D: less}
    assert lacking(StoreLookup(store="here", elsewhere={D: whole}), {D: less}) == StoreLookup(store="here")


def test_selected_images_bring_only_the_bases_that_they_lack(receipts: Repo, shelf: Shelf) -> None:
    images = receipts.images()
    alone = make_plan(images, [E], shelf.find(images), last={})
    assert list(alone.decisions) == [D, L, E]

    shelf.put([images[D]])
    some = make_plan(images, [E], shelf.find(images), last={})
    assert list(some.decisions) == [L, E]

    shelf.put([images[E]])
    none = make_plan(images, [E], shelf.find(images), last={})
    assert [(name, each.action) for name, each in none.decisions.items()] == [(E, "skip")]


def test_force_builds_what_is_selected_and_nothing_else(receipts: Repo, shelf: Shelf) -> None:
    images = receipts.images()
    shelf.put(images.values())

    plan = make_plan(images, [W], shelf.find(images), last={}, force=True)

    assert {name: each.reasons for name, each in plan.decisions.items()} == {W: ("--force",)}


def test_a_refresh_builds_what_is_selected_without_the_cache(receipts: Repo, shelf: Shelf) -> None:
    images = receipts.images()
    shelf.put(each for name, each in images.items() if name != D)

    plan = make_plan(images, [L], shelf.find(images), last={}, refresh=True)

    assert plan.decisions[L].reasons == ("--refresh",)
    assert {name: each.no_cache for name, each in plan.decisions.items()} == {D: False, L: True}


def test_without_a_look_changes_are_reported_and_the_rest_is_unknown(receipts: Repo, shelf: Shelf) -> None:
    shelf.put(receipts.images().values())
    receipts.write("embedding/handler.py", "new\n")
    images = receipts.images()

    plan = make_plan(images, images, StoreLookup(store="", unknown="nobody answers"), last=shelf.inputs)

    assert plan.unknown == "nobody answers"
    assert plan.decisions[W].reasons == ("unknown whether it exists: nobody answers",)
    assert plan.decisions[E].reasons == (
        "embedding/handler.py modified",
        "unknown whether it exists: nobody answers",
    )
    assert {each.action for each in plan.decisions.values()} == {"build"}


def test_an_image_on_an_unlocked_base_is_never_skipped(receipts: Repo, shelf: Shelf) -> None:
    receipts.bases.clear()
    images = receipts.images()
    shelf.put(images.values())

    plan = make_plan(images, images, shelf.find(images), last={}, unlocked=[RUNTIME])

    assert {name: each.reasons for name, each in plan.decisions.items()} == dict.fromkeys(
        (D, L, W, E), (f"{RUNTIME} is not locked yet: invoke lock",)
    )


def test_a_plan_carries_what_else_is_to_be_said(receipts: Repo) -> None:
    images = receipts.images()

    plan = make_plan(images, [], StoreLookup(store="here"), last={}, headline="STATIC MODE")

    assert plan.headline == "STATIC MODE"
    assert plan.empty
    assert plan.decisions == {}


@pytest.mark.parametrize("name", [D, L, E, W])
def test_a_decision_hangs_on_the_tag_alone(receipts: Repo, shelf: Shelf, name: str) -> None:
    images = receipts.images()
    shelf.put(images.values())
    renamed = {**images, name: replace(images[name], fingerprint="sha256:" + "0" * 64)}

    plan = make_plan(renamed, renamed, shelf.find(renamed), last={})

    assert [each.image.name for each in plan.acting("build")] == [name]
