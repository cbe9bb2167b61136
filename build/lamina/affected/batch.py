"""Affected images as jobs of CI that build several each: the bases, then shards of the Lambda images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lamina.affected.image import AffectedImage
from lamina.flow.session import Session
from lamina.flow.shard import likely_seconds, shards_of
from lamina.flow.snapshot import select

BASES = "bases"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Images that one job builds.

    Attributes:
        shard: ``2/5`` for the second of five, or `BASES`.
        images: bases first.
        seconds: that they likely take, one after the other.
    """

    shard: str
    images: tuple[str, ...]
    seconds: float

    @property
    def wave(self) -> int:
        """0 for what has to be built before the others, else 1."""
        return 0 if self.shard == BASES else 1


def make_batches(session: Session, images: Sequence[AffectedImage], shards: int) -> tuple[Batch, ...]:
    """Return the batches in which the images are built: the bases, then the longest shard first.

    A shard has its part of the images that ``--shard`` selects: it does not depend on what has changed. One
    with nothing to build is left out.
    """
    nodes = session.graph.nodes
    numbers = shards_of(select(session), nodes, shards)
    parts: dict[str, list[str]] = {}
    for name in (each.name for each in images if each.how != "removed"):
        part = f"{numbers[name]}/{shards}" if name in numbers else BASES
        parts.setdefault(part, []).append(name)
    made = (
        Batch(shard=part, images=tuple(names), seconds=sum(likely_seconds(nodes[name]) for name in names))
        for part, names in parts.items()
    )
    return tuple(sorted(made, key=lambda each: (each.wave, -each.seconds, each.images)))
