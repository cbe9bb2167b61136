"""What is said of a repository that is taken over, to people and to programs: ignore files, init, phases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lamina.adopt.ignore_file import IgnoreFile, bytes_told, weighed
from lamina.adopt.offered import Offer
from lamina.identify.tree import shown
from lamina.report.console import Screen

_SHOWN = 3


def show_ignores(screen: Screen, files: Sequence[IgnoreFile]) -> None:
    """What each ignore file leaves of the context and would leave, and line by line what is to be written."""
    rows = (
        (
            "\n".join(each.images),
            each.state,
            weighed(each.before),
            weighed(each.after),
            "\n".join(f"{shown(path)} {bytes_told(size)}" for path, size in each.before.without(each.after)),
        )
        for each in files
    )
    screen.rows(("image", "ignore file", "context now", "would be", "what falls away"), rows)
    screen.notes(each.reason for each in files if each.reason)
    for each in files:
        if each.writable and each.text is not None:
            screen.say(f"{each.path}:")
            for line in each.diff:
                screen.say(f"    {line}")
        if each.writable and each.made.dropped:
            screen.say(f"{each.path}: no longer copied: {_counted(each.made.dropped)}")


def _counted(paths: tuple[str, ...]) -> str:
    more = len(paths) - _SHOWN
    return ", ".join(map(shown, paths[:_SHOWN])) + (f" and {more} more" if more > 0 else "")


def ignore_documents(files: Iterable[IgnoreFile]) -> list[dict[str, Any]]:
    """The ignore files, one for each image. bytes: of the context; drops: the heaviest that falls away."""
    return [
        {
            "name": image,
            "ignore": each.path,
            "state": each.state,
            "before": _offer_document(each.before),
            "after": _offer_document(each.after),
            "drops": [{"path": path, "bytes": size} for path, size in each.before.without(each.after)],
            "strays": list(each.made.dropped),
            "text": each.made.text,
        }
        for each in files
        for image in each.images
    ]


def _offer_document(offer: Offer) -> dict[str, int]:
    return {"bytes": offer.size, "files": len(offer.files)}
