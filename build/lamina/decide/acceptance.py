"""What Lambda would say to a pushed image, before Lambda does. Pure.

Source: https://docs.aws.amazon.com/lambda/latest/dg/images-create.html, and what it answers in practice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_LAYERS = (
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)


def refusals(
    media_type: str, layers: Sequence[str], config: Mapping[str, Any], platform: str
) -> Iterator[str]:
    """Every reason for which the image would be refused.

    media_type: of the manifest; layers: of each layer. config: the image configuration. platform: what the
    image is for, ``linux/arm64``.
    """
    if media_type not in _MANIFESTS:
        yield f"its manifest is {media_type}, not {' or '.join(_MANIFESTS)}"
    for number, layer in enumerate(layers, start=1):
        if layer not in _LAYERS:
            yield f"layer {number} is {layer}, not {' or '.join(_LAYERS)}"
    made_for = f"{config.get('os')}/{config.get('architecture')}"
    if made_for != "/".join(platform.split("/")[:2]):
        yield f"it is for {made_for}, not for {platform}"
    steps = [step for step in config.get("history") or () if not step.get("empty_layer")]
    named = config.get("rootfs", {}).get("diff_ids") or ()
    if not len(layers) == len(named) == len(steps):
        told = f"{len(layers)} in the manifest, {len(named)} in the configuration, {len(steps)} steps"
        yield f"its layers and its history do not go together: {told}"
