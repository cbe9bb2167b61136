"""Show what ``sync`` changes, and as JSON documents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lamina.errors import Problem
from lamina.lint.edits import diff
from lamina.report.console import Screen
from lamina.workspace.sync import SyncedDockerfile


def show_changes(screen: Screen, found: Iterable[SyncedDockerfile]) -> None:
    """Show the changes as a diff, and name the Dockerfiles that have no marked lines."""
    listed = tuple(found)
    for each in listed:
        if not each.current:
            screen.diff(diff(each.path, each.before, each.after))
    screen.notes(
        Problem(
            what="has no marked lines, so its copies are kept by hand",
            where=each.path,
            hint="to change that: # lamina sync: copy MEMBER and # lamina sync: end, in two lines",
        )
        for each in listed
        if not each.members
    )


def dockerfile_documents(found: Iterable[SyncedDockerfile]) -> list[dict[str, Any]]:
    """Return the Dockerfiles, one document for each image."""
    return [
        {"name": image, "dockerfile": each.path, "members": list(each.members), "current": each.current}
        for each in found
        for image in each.images
    ]
