"""What images cost to keep. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lamina.ecr.retention import HeldManifest

DOLLARS_A_GB = 0.10
"""A month of a GB in a private repository, as https://aws.amazon.com/ecr/pricing/ has it for most regions."""
_GB = 2**30


def stored_bytes(
    held: Iterable[HeldManifest], blobs: Mapping[str, Mapping[str, int]], *, shared: bool
) -> int:
    """Return how many bytes manifests take up. The blobs of one that was not read count as its own.

    Args:
        held: the manifests. What an index lists is in there, so the index itself does not count.
        blobs: digest of a manifest that was read -> the digests of its blobs, and their bytes.
        shared: whether a blob is stored once for all repositories, or once for each.
    """
    once: dict[tuple[str, str], int] = {}
    for each in held:
        room = "" if shared else each.repository
        if each.kind == "index":
            continue
        if parts := blobs.get(each.digest):
            once |= {(room, digest): size for digest, size in parts.items()}
        else:
            once[each.repository, each.digest] = each.size
    return sum(once.values())


def dollars(count: int) -> float:
    """Return what so many bytes cost in a month, in US dollars."""
    return count / _GB * DOLLARS_A_GB
