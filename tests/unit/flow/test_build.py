"""A build from the command's call to what is recorded, with a registry and a builder in memory."""

from __future__ import annotations

import pytest

from lamina.errors import BuildError, RegistryError
from lamina.flow.build import build_images
from lamina.report.record import read_manifest
from memory import Shop

D, L, E, W = "base-receipt-dynamo", "base-receipt-label", "lambda-embedding", "lambda-word-label"


def test_a_first_build_pushes_all_images_bases_first_and_records_them(shop: Shop) -> None:
    session = shop.open(push=True)

    outcome = build_images(session, "build-all")

    assert outcome.ok
    assert {name: each.status for name, each in outcome.results.items()} == dict.fromkeys(
        (D, L, E, W), "built"
    )
    built = [target for call in shop.programs.calls for target in call]
    assert built.index(D) < built.index(L) < built.index(E)
    recorded = {each["image"]: each["digest"] for each in read_manifest(session.project.state)}
    assert recorded == {name: each.digest for name, each in outcome.results.items()}
    for name, each in outcome.results.items():
        assert shop.registry.digest(f"{name}-dev", each.image.tag) == each.digest


def test_a_second_build_calls_no_builder(shop: Shop) -> None:
    build_images(shop.open(push=True), "build-all")
    shop.programs.calls.clear()

    outcome = build_images(shop.open(push=True), "build-all")

    assert {each.status for each in outcome.results.values()} == {"skipped"}
    assert shop.programs.calls == []


def test_an_edited_handler_builds_its_image_alone(shop: Shop) -> None:
    build_images(shop.open(push=True), "build-all")
    shop.programs.calls.clear()
    shop.repo.write("embedding/handler.py", "def handler(event, context): return 1\n")

    outcome = build_images(shop.open(push=True), "build-all")

    assert shop.programs.calls == [[E]]
    assert outcome.built == (E,)


def test_the_content_of_another_stack_is_tagged_and_not_built(shop: Shop) -> None:
    """The builder is left alone: the registry copies."""
    first = build_images(shop.open(push=True), "build-all")
    shop.programs.calls.clear()

    outcome = build_images(shop.open(push=True, stack="prod"), "build-all")

    assert {each.status for each in outcome.results.values()} == {"retagged"}
    assert shop.programs.calls == []
    assert shop.registry.digest(f"{W}-prod", outcome.results[W].image.tag) == first.results[W].digest


def test_a_confirmed_image_is_recorded_although_another_one_fails(shop: Shop) -> None:
    shop.programs.failing = {E}
    session = shop.open(push=True, keep_going=True)

    outcome = build_images(session, "build-all")

    assert outcome.kind is BuildError
    assert {name: each.status for name, each in outcome.results.items()} == {
        D: "built", L: "built", E: "failed", W: "built",
    }  # fmt: skip
    assert {each["image"] for each in read_manifest(session.project.state)} == {D, L, W}


def test_static_mode_builds_lambda_images_on_stable_bases(shop: Shop) -> None:
    build_images(shop.open(push=True), "build-all")
    for base in (D, L):
        (tag,) = shop.registry.tags(f"{base}-dev")
        shop.registry.manifests[f"{base}-dev", "stable"] = shop.registry.manifests[f"{base}-dev", tag]
    shop.programs.calls.clear()
    shop.repo.write("receipt_dynamo/receipt_dynamo/__init__.py", "VALUE = 1\n")

    outcome = build_images(shop.open(push=True, static=True), "build-all")

    assert set(outcome.results) == {E, W}
    assert {target for call in shop.programs.calls for target in call} == {E, W}


def test_a_missing_stable_base_is_an_error_before_anything_is_built(shop: Shop) -> None:
    with pytest.raises(RegistryError, match="stable is not in registry"):
        build_images(shop.open(push=True, static=True), "build-all")

    assert shop.programs.calls == []


def test_a_push_without_a_registry_ends_before_base_images_are_looked_up(shop: Shop) -> None:
    (shop.repo.root / "lamina.lock").unlink()

    with pytest.raises(RegistryError, match="no registry is configured"):
        build_images(shop.open(push=True, registry="local"), "build-all")
