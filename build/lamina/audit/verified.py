"""Compare a rebuilt image with the recorded one, digest by digest. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lamina.audit.layers import AuditVerdict
from lamina.decide.plan import FoundImage
from lamina.errors import Problem
from lamina.identify.image import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedRow:
    """A part of an image and its digests, as recorded and as rebuilt; None if an image lacks it."""

    name: str
    recorded: str | None
    rebuilt: str | None

    @property
    def same(self) -> bool:
        """Whether the digests are equal."""
        return self.recorded == self.rebuilt


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The result of a verification. rows: manifest, configuration, then each layer."""

    image: Image
    found: FoundImage
    rows: tuple[VerifiedRow, ...]
    verdict: AuditVerdict

    @property
    def identical(self) -> bool:
        """Whether the rebuilt image is bit-for-bit the recorded one."""
        return all(row.same for row in self.rows)

    @property
    def problem(self) -> Problem:
        """The differences of an image that is not identical."""
        evidence = [f"the {row.name} differs" for row in self.rows if not row.same]
        return Problem(
            what="\n  ".join(
                (f"{self.image.name} differs when built again", *evidence, *self.verdict.reasons)
            ),
            where=str(self.found.ref),
            hint="was it built with --reproducible? Each RUN must also make the same files each time",
        )
