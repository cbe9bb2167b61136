"""Attestations: how an image was made and what is in it, in an index beside the image."""

from __future__ import annotations

from dataclasses import dataclass

from lamina.identify.fingerprint import TAG_PREFIX
from lamina.refs import Reference

ATTEST_PREFIX = "att-"
"""Of tags: ``att-86581add2ff5`` says how ``sha-86581add2ff5`` was made."""
_SCANNER = "docker/buildkit-syft-scanner"
NONE = ("type=provenance,disabled=true", "type=sbom,disabled=true")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestations:
    """Which of them a push makes. provenance: ``off``, ``min``, ``max``. generator: of the SBOM, an image."""

    provenance: str = "off"
    sbom: bool = False
    generator: str = ""

    def __bool__(self) -> bool:
        return self.sbom or self.provenance != "off"

    @property
    def scanner(self) -> str:
        """The image that makes the SBOM, as BuildKit's steps name it."""
        return self.generator or _SCANNER

    @property
    def entries(self) -> tuple[str, ...]:
        """Bake's ``attest``."""
        provenance, sbom = NONE
        if self.provenance != "off":
            provenance = f"type=provenance,mode={self.provenance}"
        if self.sbom:
            sbom = "type=sbom" + f",generator={self.generator}" * bool(self.generator)
        return (provenance, sbom)


def attested_ref(image: Reference) -> Reference:
    """Where the attestations of an image are. image: under its content tag."""
    return image.with_tag(ATTEST_PREFIX + (image.tag or "").removeprefix(TAG_PREFIX))
