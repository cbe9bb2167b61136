"""The build inputs that an image carries, as the text of an annotation.

It is compressed, because every look at an image reads its manifest whole. Where the bytes of the manifest
must be the same on every machine it is plain JSON, and so is what earlier versions wrote: both are read.
"""

from __future__ import annotations

import binascii
import json
import zlib
from collections.abc import Mapping

from lamina.identify.fingerprint import INPUTS_KEY, BuildInputs

_MOST = 64 << 20
"""Bytes of unpacked build inputs: a manifest comes from outside."""


def carry_inputs(inputs: BuildInputs, *, plain: bool = False) -> str:
    """Return the text that an image carries. plain: the same bytes with every version of zlib."""
    text = json.dumps(inputs.document(), sort_keys=True, separators=(",", ":"))
    return text if plain else binascii.b2a_base64(zlib.compress(text.encode(), 9), newline=False).decode()


def carried_inputs(annotations: Mapping[str, str]) -> BuildInputs | None:
    """Return the build inputs in the annotations of a manifest; None if missing, damaged or too large."""
    text = annotations.get(INPUTS_KEY, "")
    try:
        if text and not text.startswith("{"):
            unpacking = zlib.decompressobj()
            text = unpacking.decompress(binascii.a2b_base64(text), _MOST).decode()
        return BuildInputs.from_document(json.loads(text))
    except (ValueError, RecursionError, zlib.error):
        return None
