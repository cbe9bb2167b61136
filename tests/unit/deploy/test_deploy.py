from __future__ import annotations

from dataclasses import replace

import pytest

from lamina.aws.live import Alias, Allocation, Live
from lamina.declare.functions import Function
from lamina.deploy.deploy import busy, stuck
from lamina.deploy.rules import DesiredFunction

OLD, NEW = "sha256:" + "1" * 64, "sha256:" + "2" * 64
WANTED = DesiredFunction(
    function=Function(name="one"), image="app", uri=f"host/app@{NEW}", digest=NEW, platform="linux/arm64",
    tag="sha-2",
)  # fmt: skip


def live(digest: str) -> Live:
    return Live(
        name="one", version="2", package="Image", digest=digest, command=(), architecture="arm64",
        state="Active", update="Successful", reason="", revision="r",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "routes", "digest", "told"),
    [
        ("FAILED", {"1": 1.0}, NEW, True),
        ("FAILED", {"1": 1.0}, OLD, False),  # what is deployed now may start
        ("FAILED", {}, NEW, False),
        ("IN_PROGRESS", {"1": 1.0}, NEW, False),
        ("READY", {"1": 0.1}, NEW, False),
        (None, {"1": 0.1}, NEW, False),
    ],
)
def test_calls_are_not_sent_to_a_version_that_does_not_start(
    status: str | None, routes: dict[str, float], digest: str, told: bool
) -> None:
    allocation = Allocation(status=status, reason="FUNCTION_ERROR_INIT_FAILURE") if status else None
    alias = Alias(name="live", version="2", revision="a", routes=routes, allocation=allocation)

    found = list(stuck([WANTED], {"one": alias}, {"one": live(digest)}))

    assert bool(found) == told
    for each in found:
        assert each.what == (
            "provisioned concurrency for version 2 of one failed: FUNCTION_ERROR_INIT_FAILURE; "
            "live still leads to version 1"
        )


def test_a_function_that_is_being_updated_is_noted() -> None:
    states = {
        "one": replace(live(OLD), update="InProgress"),
        "two": replace(live(OLD), state="Pending"),
        "three": live(OLD),
    }

    assert [each.what.partition(" ")[0] for each in busy(states)] == ["one", "two"]
