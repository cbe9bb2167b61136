"""Attestations (provenance and SBOM) of an image, stored in an index beside it."""

from __future__ import annotations

from lamina.identify.fingerprint import TAG_PREFIX
from lamina.refs import Reference
from lamina.values import dataclass

ATTEST_PREFIX = "att-"
"""Tag prefix: ``att-86581add2ff5`` holds the attestations of ``sha-86581add2ff5``."""
_SCANNER = "docker/buildkit-syft-scanner"
NONE = ("type=provenance,disabled=true", "type=sbom,disabled=true")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestations:
    """What a push attests.

    Attributes:
        provenance: ``off``, ``min``, ``max``.
        generator: image that makes the SBOM.
    """

    provenance: str = "off"
    sbom: bool = False
    generator: str = ""

    def __bool__(self) -> bool:
        return self.sbom or self.provenance != "off"

    @property
    def scanner(self) -> str:
        """The image that makes the SBOM, as BuildKit's step names show it."""
        return self.generator or _SCANNER

    @property
    def entries(self) -> tuple[str, ...]:
        """The entries of bake's ``attest``."""
        provenance, sbom = NONE
        if self.provenance != "off":
            provenance = f"type=provenance,mode={self.provenance}"
        if self.sbom:
            sbom = "type=sbom" + f",generator={self.generator}" * bool(self.generator)
        return (provenance, sbom)


def attested_ref(image: Reference) -> Reference:
    """Return the reference of an image's attestations. image: with its content tag."""
    return image.with_tag(ATTEST_PREFIX + (image.tag or "").removeprefix(TAG_PREFIX))
