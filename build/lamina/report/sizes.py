"""Keep what `size` found in an image and may not be needed, in ``.lamina/sizes.json``: lint says it again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path

from lamina.files import read_json, write_json
from lamina.report.record import alone

SCHEMA = 1
_VALUES = itemgetter("kind", "bytes", "parts")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSize:
    """Files of one kind in an image. parts: the packages or folders that have them. bytes: unpacked."""

    kind: str
    bytes: int
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredImage:
    """An image that was measured. tag: its content tag."""

    tag: str
    unneeded: tuple[KeptSize, ...]


def keep_size(state: Path, image: str, tag: str, unneeded: Iterable[KeptSize]) -> None:
    """Keep what was found in an image, in place of what was found before."""
    made = MeasuredImage(tag=tag, unneeded=tuple(unneeded))
    with alone(state):
        kept = {**measured_images(state), image: made}
        images = {name: asdict(each) for name, each in sorted(kept.items())}
        write_json(state / "sizes.json", {"schema": SCHEMA, "images": images})


def measured_images(state: Path) -> Mapping[str, MeasuredImage]:
    """Return what was found in each image; empty if the file is missing or damaged."""
    document = read_json(state / "sizes.json")
    try:
        return {
            name: MeasuredImage(
                tag=str(each["tag"]),
                unneeded=tuple(
                    KeptSize(kind=str(kind), bytes=int(count), parts=tuple(map(str, parts)))
                    for kind, count, parts in map(_VALUES, each["unneeded"])
                ),
            )
            for name, each in document["images"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}
