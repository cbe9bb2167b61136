"""Copy an image from one registry to another, blob by blob; nothing is unpacked and no engine takes part."""

from __future__ import annotations

import tempfile

from lamina.errors import RegistryError
from lamina.parallel import gather
from lamina.refs import Reference
from lamina.registries.base import Descriptor, Registry

_SPOOL_BYTES = 16 << 20
"""Larger blobs are kept on the disk, not in memory, while they are copied."""
_THREADS = 4


def copy_image(source: Registry, ref: Reference, target: Registry, to: Reference) -> int:
    """Copy an image, and return how many bytes of blobs were sent: the target gets only what it lacks.

    Args:
        ref: the image in the source, by digest.
        to: the tag that it gets in the target.

    Raises:
        RegistryError: the image does not exist, or a registry refuses.
    """
    manifest = source.manifest(ref)
    if manifest is None:
        raise RegistryError.of(f"{ref} does not exist", where=source.address)
    blobs = {each.digest: each for each in (manifest.config, *manifest.layers) if each}
    lost = target.lost({to: blobs.values()}).get(to, ())

    def send(blob: Descriptor) -> int:
        with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as spool:
            source.blob(ref, blob, spool)
            spool.seek(0)
            target.upload(to, blob.digest, spool)
        return blob.size

    sent = sum(gather(send, [blobs[digest] for digest in lost], threads=_THREADS))
    target.write(to, manifest)
    return sent
