"""Whether an image that was built again is the recorded one, digest by digest. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lamina.audit.layers import AuditVerdict
from lamina.decide.plan import FoundImage
from lamina.errors import Problem
from lamina.identify.image import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedRow:
    """One thing that both images have: its digest as recorded and as built again, None where one lacks it."""

    what: str
    recorded: str | None
    rebuilt: str | None

    @property
    def same(self) -> bool:
        """Whether they are equal."""
        return self.recorded == self.rebuilt


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What came of a verification. rows: manifest, configuration, then each layer."""

    image: Image
    found: FoundImage
    rows: tuple[VerifiedRow, ...]
    verdict: AuditVerdict

    @property
    def identical(self) -> bool:
        """Whether the rebuilt image is the recorded one, bit by bit."""
        return all(row.same for row in self.rows)

    @property
    def problem(self) -> Problem:
        """What differs, for an image that is not identical."""
        evidence = [f"the {row.what} differs" for row in self.rows if not row.same]
        return Problem(
            what="\n  ".join(
                (f"{self.image.name} built again is another image", *evidence, *self.verdict.reasons)
            ),
            where=str(self.found.ref),
            hint="was it built with --reproducible? What a RUN makes must be the same each time as well",
        )
