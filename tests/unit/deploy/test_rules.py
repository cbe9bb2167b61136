from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lamina.declare.functions import Function
from lamina.deploy.rules import DesiredFunction, Running, decide, judge, obstacles, owned_elsewhere

OLD, NEW = "sha256:" + "1" * 64, "sha256:" + "2" * 64
WANTED = DesiredFunction(
    function=Function(name="tiny"), image="app", uri=f"host/app@{NEW}", digest=NEW, platform="linux/arm64",
    tag="sha-2",
)  # fmt: skip
RUNNING = Running(
    version="$LATEST",
    package="Image",
    digest=NEW,
    command=(),
    architecture="arm64",
    state="Active",
    reason="",
)
BEHIND = replace(RUNNING, digest=OLD)


@pytest.mark.parametrize(
    ("running", "told"),
    [
        (None, "there is no function tiny"),
        (replace(RUNNING, package="Zip"), "is made of a zip file"),
        (replace(RUNNING, architecture="x86_64"), "is for x86_64, the image for arm64"),
        (RUNNING, None),
        (replace(BEHIND, state="Failed"), None),
    ],
)
def test_obstacles_are_listed(running: Running | None, told: str | None) -> None:
    found = [each.what for each in obstacles(WANTED, running)]

    assert len(found) == (told is not None)
    assert all((told or "") in each for each in found)


@pytest.mark.parametrize(("owner", "count"), [(None, 0), ("prod", 0), ("dev", 1)])
def test_a_function_of_another_stack_is_left_alone(owner: str | None, count: int) -> None:
    found = list(owned_elsewhere(WANTED, "prod", owner))

    assert len(found) == count
    assert all("--take-over" in (each.hint or "") for each in found)


@pytest.mark.parametrize(
    ("running", "more", "action", "reason"),
    [
        (RUNNING, {}, "skip", "runs sha-2"),
        (BEHIND, {}, "update", f"runs {OLD[:19]}, sha-2 is {NEW[:19]}"),
        (replace(RUNNING, digest=None), {}, "update", f"runs nothing, sha-2 is {NEW[:19]}"),
        (replace(RUNNING, state="Failed", reason="ImageDeleted"), {}, "update", "is Failed: ImageDeleted"),
        (RUNNING, {"aliased": True}, "point", "the alias does not exist"),
        (RUNNING, {"aliased": True, "alias": BEHIND}, "point", f"the alias runs {OLD[:19]}"),
        (RUNNING, {"aliased": True, "alias": RUNNING}, "skip", "runs sha-2"),
        (BEHIND, {"aliased": True, "alias": RUNNING}, "update", f"runs {OLD[:19]}, sha-2 is {NEW[:19]}"),
    ],
)
def test_only_what_differs_is_changed(
    running: Running, more: dict[str, Any], action: str, reason: str
) -> None:
    move = decide(WANTED, running, **more)

    assert (move.action, move.reasons) == (action, (reason,))


def test_a_declared_command_counts_and_another_one_is_left_alone() -> None:
    declared = replace(WANTED, function=Function(name="tiny", command=("app.other",)))

    move = decide(declared, RUNNING)
    assert (move.image, move.command) == (False, True)
    assert move.reasons == ("command is the image's own, not app.other",)
    assert decide(declared, replace(RUNNING, command=("app.other",))).action == "skip"
    assert decide(WANTED, replace(RUNNING, command=("by.hand",))).action == "skip"


@pytest.mark.parametrize(
    ("pushed", "running", "command", "deployed", "verdict"),
    [
        (NEW, RUNNING, (), "sha-2", "live"),
        (NEW, None, (), None, "no function"),
        (NEW, replace(RUNNING, package="Zip"), (), None, "a zip file"),
        (NEW, replace(RUNNING, state="Failed", reason="gone"), (), None, "failed: gone"),
        (None, RUNNING, (), "sha-1", "not pushed"),
        (NEW, BEHIND, (), "sha-1", "stale: sha-1"),
        (NEW, BEHIND, (), None, "stale: an image that the registry does not know"),
        (NEW, RUNNING, ("app.other",), "sha-2", "command is the image's own"),
    ],
)
def test_whether_a_change_is_live(
    pushed: str | None, running: Running | None, command: tuple[str, ...], deployed: str | None, verdict: str
) -> None:
    assert judge(pushed, running, command, deployed) == verdict


@pytest.mark.parametrize(
    ("wanted", "running", "alias", "action", "reason"),
    [
        (True, RUNNING, None, "update", "SnapStart is off"),
        (False, replace(RUNNING, snap_start=True), None, "update", "SnapStart is on"),
        (None, replace(RUNNING, snap_start=True), None, "skip", "runs sha-2"),
        (True, replace(RUNNING, snap_start=True), RUNNING, "point", "version $LATEST has no snapshot"),
        (True, replace(RUNNING, snap_start=True), replace(RUNNING, has_snapshot=True), "skip", "runs sha-2"),
    ],
)
def test_snap_start_counts_if_it_is_declared(
    wanted: bool | None, running: Running, alias: Running | None, action: str, reason: str
) -> None:
    move = decide(replace(WANTED, snap_start=wanted), running, alias=alias, aliased=alias is not None)

    assert (move.action, move.reasons) == (action, (reason,))
    assert move.snap_start == (action == "update")
