from __future__ import annotations

import json

import pytest

from lamina.registries.base import DOCKER_LIST, OCI_INDEX, OCI_MANIFEST, Manifest

IMAGE = {
    "schemaVersion": 2,
    "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": "sha256:c", "size": 7},
    "layers": [
        {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "sha256:a", "size": 100},
        {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "sha256:b", "size": 20},
    ],
    "annotations": {"k": "v"},
}
INDEX = {
    "schemaVersion": 2,
    "manifests": [
        {
            "mediaType": OCI_MANIFEST,
            "digest": "sha256:1",
            "size": 1,
            "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"},
        },
        {
            "mediaType": OCI_MANIFEST,
            "digest": "sha256:2",
            "size": 1,
            "platform": {"os": "unknown", "architecture": "unknown"},
        },
    ],
}


def test_the_digest_is_over_the_exact_bytes() -> None:
    tight, loose = json.dumps(IMAGE).encode(), json.dumps(IMAGE, indent=2).encode()
    assert Manifest.of(tight).digest != Manifest.of(loose).digest
    assert Manifest.of(b"{}").digest == (
        "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    )


def test_an_image_tells_its_parts() -> None:
    manifest = Manifest.of(json.dumps(IMAGE).encode(), OCI_MANIFEST)
    assert manifest.size == 127
    assert manifest.config is not None
    assert manifest.config.digest == "sha256:c"
    assert [layer.digest for layer in manifest.layers] == ["sha256:a", "sha256:b"]
    assert manifest.annotations == {"k": "v"}
    assert not manifest.is_index
    assert manifest.platforms == {}


def test_an_index_tells_its_platforms_but_not_attestations() -> None:
    manifest = Manifest.of(json.dumps(INDEX).encode())
    assert manifest.is_index
    assert manifest.media_type == OCI_INDEX
    assert {name: found.digest for name, found in manifest.platforms.items()} == {
        "linux/arm64/v8": "sha256:1"
    }
    assert len(manifest.manifests) == 2
    assert (manifest.size, manifest.config, manifest.layers) == (0, None, ())


def test_the_media_type_of_the_bytes_counts_when_the_server_names_none() -> None:
    raw = json.dumps({**INDEX, "mediaType": DOCKER_LIST}).encode()
    assert Manifest.of(raw).media_type == DOCKER_LIST


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[]", b'"text"'])
def test_a_document_that_is_not_a_json_object_is_not_a_manifest(raw: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any reason will do
        Manifest.of(raw)


def test_equal_bytes_are_equal_manifests_and_fit_in_sets() -> None:
    raw = json.dumps(IMAGE).encode()
    assert len({Manifest.of(raw), Manifest.of(raw)}) == 1
    assert "annotations" not in repr(Manifest.of(raw))
