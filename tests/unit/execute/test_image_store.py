"""What a registry's answers say of an image: whose it is, and whether it is whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, cast

from lamina.decide.plan import FoundImage
from lamina.execute.image_store import FallbackStore, ImageStore, RegistryStore, find_images
from lamina.refs import Reference
from lamina.registries.base import OCI_MANIFEST, Descriptor, Manifest, Registry, sha256

from ..conftest import Repo

REF = Reference.parse("r.example/app:sha-1")


@dataclass
class Shelf:
    """A registry of manifests and blobs that counts what it is asked."""

    manifests_by_ref: dict[Reference, Manifest] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    address: str = "r.example"

    def put(
        self, ref: Reference, *, annotation: str | None = None, label: str | None = None, media_type: str = ""
    ) -> Manifest:
        config = json.dumps(
            {"config": {"Labels": {"dev.lamina.fingerprint": label} if label else None}}
        ).encode()
        layer = str(ref).encode()
        document: dict[str, Any] = {
            "mediaType": media_type or OCI_MANIFEST,
            "config": {"digest": sha256(config), "size": len(config)},
            "layers": [{"digest": sha256(layer), "size": len(layer)}],
            "annotations": {"dev.lamina.fingerprint": annotation} if annotation else {},
        }
        manifest = Manifest.of(json.dumps(document).encode())
        self.blobs |= {sha256(config): config, sha256(layer): layer}
        self.manifests_by_ref |= {ref: manifest, ref.with_digest(manifest.digest): manifest}
        return manifest

    def manifests(self, refs: Iterable[Reference]) -> Mapping[Reference, Manifest | None]:
        return {ref: self.manifests_by_ref.get(ref) for ref in refs}

    def lost(self, blobs: Mapping[Reference, Iterable[Descriptor]]) -> Mapping[Reference, tuple[str, ...]]:
        self.asked += [f"HEAD {each.digest}" for wanted in blobs.values() for each in wanted]
        return {
            ref: tuple(each.digest for each in wanted if each.digest not in self.blobs)
            for ref, wanted in blobs.items()
        }

    def blob(self, ref: Reference, blob: Descriptor, sink: IO[bytes]) -> None:
        self.asked.append(f"GET {blob.digest}")
        sink.write(self.blobs[blob.digest])

    @property
    def store(self) -> RegistryStore:
        return RegistryStore(cast("Registry", self))


def config_of(manifest: Manifest) -> str:
    assert manifest.config is not None
    return manifest.config.digest


def test_an_annotated_image_costs_one_request_more_than_its_manifest() -> None:
    shelf = Shelf()
    manifest = shelf.put(REF, annotation="sha256:f")

    assert shelf.store.find([REF])[REF].fingerprint == "sha256:f"
    assert shelf.asked == [f"HEAD {config_of(manifest)}"]


def test_a_label_tells_the_fingerprint_where_an_engine_pushed_no_annotations() -> None:
    shelf = Shelf()
    shelf.put(REF, label="sha256:f")

    assert shelf.store.find([REF])[REF].fingerprint == "sha256:f"


def test_an_image_without_either_is_foreign_and_an_index_is_not_an_image() -> None:
    shelf = Shelf()
    shelf.put(REF)
    assert shelf.store.find([REF])[REF].fingerprint is None

    shelf.put(REF, annotation="sha256:f", media_type="application/vnd.oci.image.index.v1+json")
    assert shelf.store.find([REF])[REF].fingerprint is None


def test_missing_images_are_reported_and_missing_layers_on_request() -> None:
    shelf = Shelf()
    manifest = shelf.put(REF, annotation="sha256:f")
    (layer,) = manifest.layers
    del shelf.blobs[layer.digest]
    found = shelf.store.find([REF])[REF]
    assert found.lost == ()
    assert shelf.store.examine({"app": found})["app"].lost == (layer.digest,)

    del shelf.blobs[config_of(manifest)]
    found = shelf.store.find([REF])[REF]
    assert found.lost == (config_of(manifest),)
    both = shelf.store.examine({"app": found})["app"]
    assert both.lost == (config_of(manifest), layer.digest)
    assert both.lacks == f"its configuration {both.lost[0][:19]} and its layer {both.lost[1][:19]}"


def test_an_image_that_one_store_has_lost_another_may_have() -> None:
    one, other = Shelf(), Shelf()
    (layer,) = one.put(REF, annotation="sha256:f").layers
    other.put(REF, annotation="sha256:f")
    store = FallbackStore(one.store, lambda: cast("ImageStore", other.store))

    del one.blobs[layer.digest]
    found = store.find([REF])[REF]
    assert store.examine({"app": found})["app"].lost == ()

    one.blobs.clear()
    assert store.find([REF])[REF].lost == ()


def test_images_are_found_when_they_are_whole_and_made_of_the_same(repo: Repo) -> None:
    repo.image("app", "FROM scratch", "COPY file /")
    repo.write("file", "text\n")
    image = repo.images()["app"]
    shelf = Shelf()
    assert find_images(shelf.store, [image]) == {}

    shelf.put(image.ref, annotation="sha256:other")
    assert find_images(shelf.store, [image]) == {}

    manifest = shelf.put(image.ref, annotation=image.fingerprint)
    found: Mapping[str, FoundImage] = find_images(shelf.store, [image])
    assert found["app"].digest == manifest.digest

    del shelf.blobs[config_of(manifest)]
    assert find_images(shelf.store, [image]) == {}
