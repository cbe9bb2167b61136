"""An image goes from one registry to another."""

from __future__ import annotations

import pytest

from lamina.errors import RegistryError
from lamina.refs import Reference
from lamina.registries.connect import oci_registry
from lamina.registries.copy import copy_image
from lamina.registries.oci import OciRegistry
from memory import HOST, MemoryRegistry

from ..conftest import ScriptedRunner

LAYERS = {"FROM": b"base" * 1000, "COPY": b"code"}


def registry(memory: MemoryRegistry) -> OciRegistry:
    return oci_registry(ScriptedRunner(), HOST, transport=memory)


def test_a_copy_sends_only_what_the_target_lacks() -> None:
    dev, prod = MemoryRegistry(), MemoryRegistry()
    source = Reference.parse(f"{HOST}/app-dev:sha-1")
    digest = dev.push(source, {"dev.lamina.fingerprint": "sha256:1"}, LAYERS)
    prod.blobs |= {each: blob for each, blob in dev.blobs.items() if blob == LAYERS["FROM"]}
    target = Reference.parse(f"{HOST}/app-prod:sha-1")

    sent = copy_image(registry(dev), source.with_digest(digest), registry(prod), target)

    assert prod.digest("app-prod", "sha-1") == digest
    assert prod.blobs == dev.blobs
    assert sent == sum(map(len, dev.blobs.values())) - len(LAYERS["FROM"])
    again = copy_image(registry(dev), source.with_digest(digest), registry(prod), target)
    assert again == 0


def test_an_image_that_is_gone_is_not_copied() -> None:
    dev, prod = MemoryRegistry(), MemoryRegistry()

    with pytest.raises(RegistryError, match="does not exist"):
        copy_image(
            registry(dev),
            Reference.parse(f"{HOST}/app-dev@sha256:{'1' * 64}"),
            registry(prod),
            Reference.parse(f"{HOST}/app-prod:sha-1"),
        )
    assert not prod.manifests
