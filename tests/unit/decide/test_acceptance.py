from __future__ import annotations

from typing import Any

import pytest

from lamina.decide.acceptance import refusals
from lamina.registries.base import OCI_INDEX, OCI_MANIFEST

GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"


def told(
    *layers: str, media_type: str = OCI_MANIFEST, platform: str = "linux/arm64", **config: Any
) -> list[str]:
    given = {
        "os": "linux",
        "architecture": "arm64",
        "rootfs": {"diff_ids": ["sha256:2"] * len(layers)},
        "history": [{"created_by": "CMD", "empty_layer": True}, *[{"created_by": "COPY"}] * len(layers)],
        **config,
    }
    return list(refusals(media_type, layers, given, platform))


def test_what_lambda_takes_is_not_refused() -> None:
    assert told(GZIP, GZIP) == told(GZIP, platform="linux/arm64/v8") == []
    assert told("application/vnd.docker.image.rootfs.diff.tar.gzip") == []


def test_lists_of_images_are_refused() -> None:
    assert told(media_type=OCI_INDEX)[0].startswith(f"its manifest is {OCI_INDEX}, not ")


def test_layers_of_another_packing_are_refused() -> None:
    (reason,) = told(GZIP, ZSTD)

    assert reason.startswith(f"layer 2 is {ZSTD}, not ")


def test_another_architecture_is_refused() -> None:
    assert told(GZIP, architecture="amd64") == ["it is for linux/amd64, not for linux/arm64"]


@pytest.mark.parametrize(
    ("config", "counts"),
    [
        ({"history": []}, "2 in the manifest, 2 in the configuration, 0 steps"),
        ({"history": None}, "2 in the manifest, 2 in the configuration, 0 steps"),
        ({"rootfs": {}}, "2 in the manifest, 0 in the configuration, 2 steps"),
    ],
)
def test_a_history_with_gaps_is_refused(config: dict[str, Any], counts: str) -> None:
    assert told(GZIP, GZIP, **config) == [f"its layers and its history do not go together: {counts}"]
