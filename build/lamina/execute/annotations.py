"""The annotations of an image's manifest."""

from __future__ import annotations

from lamina.identify.carried import carry_inputs
from lamina.identify.fingerprint import FINGERPRINT_KEY, INPUTS_KEY, SCHEMA
from lamina.identify.image import STABLE, Image

MOST_INPUTS = 256 * 1024
"""Bytes. Registries refuse manifests of a few megabytes, so large build inputs stay in `.lamina/`."""
REVISION = "org.opencontainers.image.revision"


def image_annotations(
    image: Image, *, revision: str | None, static: bool, plain: bool = False
) -> dict[str, str]:
    """Return the annotations of an image's manifest.

    revision: the commit of a clean worktree. plain: the same bytes on every machine; see `carry_inputs`.
    """
    inputs = carry_inputs(image.inputs, plain=plain)
    values = {FINGERPRINT_KEY: image.fingerprint, "dev.lamina.schema": str(SCHEMA)}
    if len(inputs) <= MOST_INPUTS:
        values[INPUTS_KEY] = inputs
    if revision:
        values[REVISION] = revision
    if static:
        values["dev.lamina.bases"] = STABLE
    return values
