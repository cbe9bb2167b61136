"""Decide what SnapStart needs of a function, and what keeps it from working. Pure.

Limits: https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lamina.aws.live import Alias, Live
from lamina.deploy.rules import DesiredFunction
from lamina.errors import Problem

MOST_TEMPORARY = 512
"""MB of /tmp with which Lambda makes snapshots."""


def snapshot_obstacles(wanted: DesiredFunction, live: Live | None, alias: Alias | None) -> Iterator[Problem]:
    """Yield each setting of a function with which Lambda makes no snapshots.

    live: None if the function does not exist. alias: the one to move, with its provisioned concurrency.
    """
    if not wanted.snap_start or live is None:
        return
    name = str(wanted.function)
    off = f"or set snap-start = false in [tool.lamina.images.{wanted.image}]"
    if live.temporary_mb > MOST_TEMPORARY:
        yield Problem(
            what=f"{name} has {live.temporary_mb} MB of /tmp: Lambda makes no snapshots of it",
            where=wanted.image,
            allowed=f"up to {MOST_TEMPORARY} MB of ephemeral storage with SnapStart",
            hint=f"aws lambda update-function-configuration --function-name {name} "
            f"--ephemeral-storage Size={MOST_TEMPORARY}, {off}",
        )
    if live.file_systems:
        yield Problem(
            what=f"{name} mounts EFS at {', '.join(live.file_systems)}: Lambda makes no snapshots of it",
            where=wanted.image,
            hint=f"remove the file system from the function, {off}",
        )
    if alias and alias.allocation:
        yield Problem(
            what=f"the alias {alias.name} of {name} has provisioned concurrency, which excludes SnapStart",
            where=wanted.image,
            hint=f"aws lambda delete-provisioned-concurrency-config --function-name {name} "
            f"--qualifier {alias.name}, {off}",
        )


def without_version(wanted: Iterable[DesiredFunction]) -> Iterator[Problem]:
    """Yield a note for each image whose functions are deployed without a version, so without a snapshot."""
    for image in dict.fromkeys(each.image for each in wanted if each.snap_start):
        yield Problem(
            what=f"{image} has snap-start, but Lambda makes snapshots of published versions only: "
            "calls of $LATEST start without one",
            where=f"[tool.lamina.images.{image}] snap-start",
            hint="add --alias <name>, or --publish",
        )
