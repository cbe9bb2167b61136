"""An image of the worktree is measured against an earlier one, from a registry alone."""

from __future__ import annotations

import pytest

from lamina.errors import ConfigError, SelectionError
from lamina.flow.snapshot import take_snapshot
from lamina.identify.fingerprint import FINGERPRINT_KEY
from lamina.report.inits import keep_opened
from lamina.report.sizes import measured_images
from lamina.size.show import show_size, size_document
from lamina.size.size import measure
from lamina.tasks.explain import size
from memory import Shop, Supply

from .test_packages import tar, wheel

W = "lambda-word-label"
RUNTIME_LAYER = {"FROM": tar({"usr/lib/os.py": "os"})}


def put(shop: Shop, **code: int) -> str:
    """Push the image of the worktree with one package of these modules. Return its digest."""
    image = take_snapshot(shop.open(), (W,)).images[W]
    layers = {**RUNTIME_LAYER, "COPY deps": tar(wheel("requests", f"2.{len(code)}", **code))}
    return shop.registry.push(image.ref, {FINGERPRINT_KEY: image.fingerprint}, layers)


def edit(shop: Shop) -> None:
    shop.repo.write("word_label/handler.py", "def handler(event, context): return 2\n")


def test_the_image_is_compared_with_the_newest_other_one_of_the_registry(shop: Shop) -> None:
    before = put(shop, api=10)
    edit(shop)
    digest = put(shop, api=10, extra=7)

    found = measure(shop.open(), W)

    assert (found.found.digest, found.earlier.digest if found.earlier else None) == (digest, before)
    document = size_document(found)
    runtime, deps = document["layers"]
    assert (runtime["own"], deps["own"]) == (False, True)
    assert (runtime["bytes"], runtime["before"]) == (2, 2)
    (package,) = deps["packages"]
    assert (package["version"], package["version_before"]) == ("2.2", "2.1")
    assert package["bytes"] - package["before"] == document["bytes"] - document["before"] > 7
    assert deps["stored_bytes"] > package["bytes"]


def test_a_layer_that_both_images_have_is_fetched_once(shop: Shop) -> None:
    put(shop, api=10)
    edit(shop)
    put(shop, api=10, extra=7)
    shop.registry.asked.clear()

    measure(shop.open(), W)

    blobs = [each for each in shop.registry.asked if each.startswith("GET") and "/blobs/" in each]
    layers = [each for each in blobs if blobs.count(each) == 1]
    assert len(set(blobs)) == 5  # three layers and two configurations
    assert len(layers) == 3


def test_another_image_may_be_named(shop: Shop) -> None:
    before = put(shop, api=10)
    (tag,) = shop.registry.tags(f"{W}-dev")
    edit(shop)
    put(shop, api=10, extra=7)

    for named in (tag, before):
        earlier = measure(shop.open(), W, named).earlier
        assert earlier is not None
        assert earlier.digest == before
    with pytest.raises(ConfigError, match=r"sha-0 is not in registry r\.example"):
        measure(shop.open(), W, "sha-0")
    with pytest.raises(ConfigError, match="is not a registry host"):
        measure(shop.open(), W, "a_b.c/x:1")


def test_the_first_image_is_measured_alone(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    put(shop, api=10)
    found = measure(shop.open(), W)

    show_size(shop.open().screen, found)

    assert found.earlier is None
    shown = capsys.readouterr().out
    assert "COPY deps" in shown
    assert "runtime: FROM" in shown
    assert "to see what its start never opens: invoke smoke" in shown


def test_files_that_the_last_smoke_opened_count_for_the_same_image_only(shop: Shop) -> None:
    put(shop, api=200_000)
    session = shop.open()
    tag = take_snapshot(session, (W,)).images[W].tag
    keep_opened(session.project.state, W, tag, ["/var/task/handler.py"])

    assert [each.kind for each in measure(shop.open(), W).unneeded if each.kind == "not opened"]

    keep_opened(session.project.state, W, "sha-000000000000", ["/var/task/handler.py"])
    assert not measure(shop.open(), W).smoked


def test_no_engine_is_started_to_look_for_an_image(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{shop.repo.root}/none.sock")
    supply = Supply()

    with pytest.raises(SelectionError, match="not built from the current worktree"):
        measure(shop.open_without_engine(supply), W)
    put(shop, api=10)

    assert measure(shop.open_without_engine(supply), W).earlier is None
    assert supply.started == []


def test_an_image_that_is_not_built_is_not_measured(shop: Shop) -> None:
    with pytest.raises(SelectionError, match="not built from the current worktree: lambda-word-label"):
        measure(shop.open(), W)
    with pytest.raises(SelectionError, match="there is no image"):
        measure(shop.open(), "nosuch")


def test_what_was_found_is_kept_for_lint(shop: Shop) -> None:
    put(shop, api=10)
    session = shop.open()

    assert size(session, image=W, from_="") == 0

    kept = measured_images(session.project.state)[W]
    assert kept.tag == measure(shop.open(), W).image.tag
    assert [each.kind for each in kept.unneeded] == [each.kind for each in measure(shop.open(), W).unneeded]
