"""What keeps an alias from sharing its calls."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lamina.aws.live import Alias, Allocation, Live
from lamina.declare.functions import Function
from lamina.deploy.half_shift import half_shift, shift_obstacles
from lamina.deploy.rules import DesiredFunction, FunctionUpdate

LIVE = Live(
    name="one",
    version="$LATEST",
    package="Image",
    digest=None,
    command=(),
    architecture="x86_64",
    state="Active",
    update="Successful",
    reason="",
    revision=None,
    role="arn:role/a",
)
BEHIND = replace(LIVE, version="1")
ALIAS = Alias(name="live", version="1", revision=None)
MOVE = FunctionUpdate(
    wanted=DesiredFunction(
        function=Function(name="one"), image="app", uri="", digest="", platform="linux/amd64", tag="sha-2"
    ),
    image=True,
    command=False,
    reasons=(),
    alias="1",
    pointed=True,
)


def told(move: FunctionUpdate, live: Live, behind: Live, alias: Alias | None = ALIAS) -> list[str]:
    aliases = {"one": alias} if alias else {}
    return [each.what for each in shift_obstacles([move], {"one": live}, aliases, {"one": behind}, {})]


@pytest.mark.parametrize(
    ("live", "said"),
    [
        (replace(LIVE, role="arn:role/b"), "one has another execution role (arn:role/b) than version 1"),
        (replace(LIVE, dead_letters="arn:q"), "one has another dead-letter queue (arn:q) than version 1"),
    ],
)
def test_versions_share_calls_only_with_one_role_and_one_dead_letter_queue(live: Live, said: str) -> None:
    (only,) = told(MOVE, live, BEHIND)

    assert said in only
    assert not told(MOVE, live, live)


def test_an_alias_that_does_not_move_may_be_as_it_is() -> None:
    other = replace(LIVE, role="arn:role/b")

    assert not told(replace(MOVE, pointed=False), other, BEHIND)
    assert not told(MOVE, other, BEHIND, alias=None)


def test_routes_that_lambda_keeps_because_provisioned_concurrency_failed_are_not_a_share() -> None:
    shared = replace(ALIAS, version="2", routes={"1": 1.0})
    failed = replace(shared, allocation=Allocation(status="FAILED", reason="FUNCTION_ERROR_INIT_FAILURE"))

    assert half_shift(lambda _: LIVE, "one", shared)
    assert half_shift(lambda _: LIVE, "one", failed) is None
