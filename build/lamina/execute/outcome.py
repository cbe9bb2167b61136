"""The end of a run: what became of each image, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lamina.errors import Problem
from lamina.identify.image import Image

Status = Literal["built", "retagged", "pushed", "skipped", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one image. seconds: of its own build; size: bytes. digest: confirmed, else None."""

    image: Image
    status: Status
    reasons: tuple[str, ...]
    digest: str | None = None
    size: int = 0
    seconds: float = 0.0
    cached: int = 0
    total: int = 0
    resolved: Mapping[str, str] = field(default_factory=dict)
    """The versions that its own steps installed, as far as that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of a run. problems: why images failed; empty when all went well. interrupted: by the user.

    installs: image, failed ones too -> what its steps installed; see `Trace.installs`.
    """

    results: Mapping[str, Result]
    installs: Mapping[str, Mapping[str, Mapping[str, str] | None]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    interrupted: bool = False

    @property
    def built(self) -> tuple[str, ...]:
        """The images that were built and confirmed."""
        return tuple(name for name, result in self.results.items() if result.status == "built")

    @property
    def ok(self) -> bool:
        """Whether everything that was planned is done."""
        return not self.problems and not self.interrupted
