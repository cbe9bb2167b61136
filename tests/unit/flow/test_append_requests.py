"""What a push without a builder asks a registry: a whole `build-all --push`, request by request."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

import pytest

from lamina.errors import EngineError
from lamina.flow.build import build_images
from lamina.identify.code_copies import code_tag
from memory import Shop

from ..conftest import RUNTIME, Repo
from .test_append import Team

BASE, APP, OTHER = "base-x", "app", "other"


@pytest.fixture
def linked(shop: Shop) -> Shop:
    """A base and two functions on it, in the registry as BuildKit would push them."""
    package = "COPY --link receipt_dynamo/ /var/task/receipt_dynamo/"
    return push(shop, {BASE: (f"FROM {RUNTIME}", package), **dict.fromkeys((APP, OTHER), ("FROM base-x",))})


def push(shop: Shop, heads: Mapping[str, tuple[str, ...]]) -> Shop:
    """Write images, put them in the registry as BuildKit would push them. heads: image -> its first lines."""
    repo = Repo(shop.repo.root)
    repo.remove("dockerfiles")
    handlers = {APP: "embedding/handler.py", OTHER: "word_label/handler.py"}
    for name, head in heads.items():
        source = handlers.get(name)
        own = (f"COPY --link {source} /var/task/", 'CMD ["handler.handler"]') if source else ()
        repo.image(name, *head, *own)
    for source in handlers.values():
        repo.write(source, "def handler(event, context): ...\n")
    team = Team(repo)
    team.build()
    for ref, manifest in team.registry.tags.items():
        for name in (ref.tag or "", manifest.digest):
            shop.registry.manifests[ref.repository, name] = manifest.raw
    shop.registry.blobs |= {digest: blob for (_, digest), blob in team.registry.blobs.items()}
    return shop


def requests(shop: Shop) -> Counter[str]:
    """The kinds of requests: method, repository and kind of resource."""
    shown = [
        re.sub(r"https://r.example/v2/|-dev", "", re.sub(r"((manifests|blobs)/).*", r"\1", each))
        for each in shop.registry.asked
    ]
    return Counter(shown)


def test_an_edited_handler(linked: Shop) -> None:
    linked.repo.write("embedding/handler.py", "def handler(event, context): return 1\n")

    outcome = build_images(linked.open(push=True), "build-all")

    assert outcome.results[APP].appended
    assert linked.programs.calls == []
    assert requests(linked) == {
        "GET ": 1,
        "GET base-x/manifests/": 1,
        "GET other/manifests/": 1,
        "HEAD base-x/blobs/": 1,  # is the configuration there?
        "HEAD other/blobs/": 1,
        "GET app/manifests/": 2,  # it does not exist; the earlier image
        "GET app/blobs/": 1,  # the configuration of that
        "POST app/blobs/": 2,
        "PUT app/blobs/": 2,
        "PUT app/manifests/": 2,  # under its content tag, and for the next change
        "HEAD app/manifests/": 1,
    }


def test_what_an_edited_handler_moves(linked: Shop) -> None:
    """Each manifest has the build inputs: those of the images that are looked at, and the new one twice."""
    linked.repo.write("embedding/handler.py", "def handler(event, context): return 1\n")

    build_images(linked.open(push=True), "build-all")

    assert linked.registry.moved < 9_500


def test_edited_code_of_a_base(linked: Shop) -> None:
    linked.repo.write("receipt_dynamo/receipt_dynamo/more.py", "MORE = 1\n")

    outcome = build_images(linked.open(push=True), "build-all")

    assert [name for name, each in outcome.results.items() if each.appended] == [BASE, APP, OTHER]
    found = requests(linked)
    assert found["POST base-x/blobs/"] == found["PUT base-x/blobs/"] == 2
    for name in (APP, OTHER):  # the layer of the base is mounted, the configuration is uploaded
        assert found[f"POST {name}/blobs/"] == 2
        assert found[f"PUT {name}/blobs/"] == 1
        assert found[f"HEAD {name}/blobs/"] == 0
    assert sum(found.values()) == 1 + 10 + 9 + 9


@pytest.mark.parametrize(("mounts", "sent"), [(201, 1), (202, 2), (403, 2)])
def test_a_layer_of_two_images_is_sent_once(shop: Shop, mounts: int, sent: int) -> None:
    """The second repository mounts it; a registry that does not mount gets it again."""
    lines = (f"FROM {RUNTIME}", "COPY --link receipt_dynamo/ /var/task/receipt_dynamo/")
    push(shop, {APP: lines, OTHER: lines})
    shop.repo.write("receipt_dynamo/receipt_dynamo/more.py", "MORE = 1\n")
    shop.registry.mounts = mounts

    outcome = build_images(shop.open(push=True), "build-all")

    assert all(each.appended for each in outcome.results.values())
    found = requests(shop)
    configurations = 2
    assert found["PUT app/blobs/"] + found["PUT other/blobs/"] == configurations + sent


def test_nothing_changed(linked: Shop) -> None:
    build_images(linked.open(push=True), "build-all")

    assert requests(linked) == {
        "GET ": 1,
        **{f"GET {name}/manifests/": 1 for name in (BASE, APP, OTHER)},
        **{f"HEAD {name}/blobs/": 1 for name in (BASE, APP, OTHER)},
    }


def test_an_earlier_image_that_has_lost_a_layer_is_left_to_the_builder(linked: Shop) -> None:
    images = Repo(linked.repo.root).images()
    tag = images[BASE].repository.with_tag(code_tag(images[BASE], images))
    manifest = linked.open().registry.manifest(tag.__class__.parse(f"r.example/{tag}"))
    assert manifest
    del linked.registry.blobs[manifest.layers[0].digest]
    linked.repo.write("receipt_dynamo/receipt_dynamo/more.py", "MORE = 1\n")

    only = build_images(linked.open(push=True, append="only"), "build-all")
    assert only.kind is EngineError
    assert [each.what.partition(": ")[2] for each in only.problems] == [
        f"the registry has lost its layer {manifest.layers[0].digest[:19]}",
        "its base base-x needs a builder",
        "its base base-x needs a builder",
    ]

    outcome = build_images(linked.open(push=True), "build-all")
    assert [target for call in linked.programs.calls for target in call] == [BASE, APP, OTHER]
    assert not any(each.appended for each in outcome.results.values())
    assert outcome.ok
