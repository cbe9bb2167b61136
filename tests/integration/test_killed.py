"""Deploys, canaries and rollbacks that end at any of their calls: nothing is half done without being said."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import NoReturn

import pytest
from botocore.exceptions import ConnectionClosedError
from doubles.aws_front import Fault
from team import NEW, OTHER, Team, words

from lamina.deploy.results import Rollout
from lamina.errors import LaminaError

THROTTLED = Fault(code="ThrottlingException", message="Rate exceeded", status=429)
ACTIONS = {"Invoke": "lambda:InvokeFunction", "DescribeAlarms": "cloudwatch:DescribeAlarms"}


class Killed(BaseException):
    """What kill -9 is: nothing is done any more."""


def action(operation: str) -> str:
    return ACTIONS.get(operation, f"lambda:{operation}")


def denied(operation: str) -> Fault:
    message = f"User: arn:aws:iam::123456789012:user/x is not authorized to perform: {action(operation)}"
    return Fault(code="AccessDeniedException", message=message, status=403)


def press() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def cut() -> NoReturn:
    raise ConnectionClosedError(endpoint_url="https://lambda.eu-west-1.amazonaws.com")


def deny(team: Team, at: int) -> None:
    """Deny the operation of a call, and all later ones of its kind."""
    operations: set[str] = set()

    def trouble(number: int, operation: str) -> Fault | None:
        if number == at:
            operations.add(operation)
        return denied(operation) if operation in operations else None

    team.here.trouble = trouble


def throttle(team: Team, at: int) -> None:
    team.here.trouble = lambda number, _: THROTTLED if number == at else None


def interrupt(team: Team, at: int) -> None:
    team.here.trouble = lambda number, _: press() if number == at else None


def interrupt_twice(team: Team, at: int) -> None:
    team.here.trouble = lambda number, _: press() if number in {at, at + 2} else None


def lose_request(team: Team, at: int) -> None:
    team.here.trouble = lambda number, _: cut() if number == at else None


def lose_answer(team: Team, at: int) -> None:
    team.here.lost = lambda number, _: cut() if number == at else None


def canary(team: Team) -> Rollout:
    return team.deploy(team.options(None, "errors", linear="40%:1m", smoke=True))


def deploy(team: Team) -> Rollout:
    return team.deploy(team.options(smoke=True))


def rollback(team: Team) -> Rollout:
    return team.roll_back()


ACTS = {"canary": canary, "deploy": deploy, "rollback": rollback}
TROUBLES = {
    each.__name__: each for each in (deny, throttle, interrupt, interrupt_twice, lose_request, lose_answer)
}
BEFORE = {"canary": "1", "deploy": "1", "rollback": "3"}
"""Act -> the version of the alias before it; each ends with version 2."""
AFTER = dict.fromkeys(("one", "two"), ("2", dict[str, float]()))


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Team:
    return Team(tmp_path_factory.mktemp("team"))


def begin(team: Team, act: str) -> None:
    team.begin()
    team.alarms.states = {"errors": "OK"}
    if act == "rollback":
        team.deploy(team.options())
        team.deploy(team.options(), OTHER)
    team.here.calls.clear()
    team.said.clear()


def attempt(team: Team, act: str) -> tuple[Rollout | None, str]:
    """Carry out an act. Return what became of it, and all that it said."""
    done = None
    try:
        done = ACTS[act](team)
        said = words(done)
    except (KeyboardInterrupt, Killed, LaminaError) as error:
        said = str(error)
    finally:
        for each in threading.enumerate():
            if each.name == "lambda" and each.is_alive():  # an update that was not waited for
                each.join()
    return done, "\n".join((*team.said, said))


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("act", ACTS)
def test_an_act_that_ends_early_is_undone_or_says_what_is_left_and_can_be_done_again(
    team: Team, act: str, trouble: str
) -> None:
    at = 0
    while True:
        begin(team, act)
        TROUBLES[trouble](team, at)
        done, said = attempt(team, act)
        if len(team.here.calls) <= at:
            break
        check(team, act, done, said, call=f"{at}: {team.here.calls[at]}")
        if trouble == "deny" and not (done and not done.all_problems):
            assert f"not allowed: {action(team.here.calls[at])}" in said
        team.here.fine()
        if team.live() != AFTER:
            done, said = attempt(team, act)
            assert done, said
            assert not done.all_problems, said
        assert team.live() == AFTER
        at += 1
    assert at > 8


def check(team: Team, act: str, done: Rollout | None, said: str, *, call: str) -> None:
    """Hold what calls reach against what was said."""
    before = dict.fromkeys(("one", "two"), (BEFORE[act], {}))
    if team.live() in (before, AFTER):
        return
    assert done, f"{call}: {team.live()} and nothing said"
    left = [name for name, each in team.live().items() if each != before[name]]
    assert [name for name in left if f"live of {name} " not in said] == [], f"{call}: {said}"
    assert "next: invoke deploy --rollback --alias live returns it" in said, call
    assert done.canary is None or done.canary.outcome == "left"


@pytest.mark.parametrize("act", ACTS)
def test_an_act_that_was_killed_at_a_call_can_be_done_again(team: Team, act: str) -> None:
    def kill(at: int) -> Callable[[int, str], None]:
        def trouble(number: int, operation: str) -> None:
            if number >= at:
                raise Killed

        return trouble

    begin(team, act)
    attempt(team, act)
    calls = [at for at, each in enumerate(team.here.calls) if each == "UpdateAlias"]
    assert len(calls) > 1
    for at in (*calls, *(each + 1 for each in calls[:-1])):
        begin(team, act)
        team.here.trouble = kill(at)
        attempt(team, act)
        team.here.fine()
        if team.live() != AFTER:
            shared = any(shares for _, shares in team.live().values())
            done, said = attempt(team, act)
            assert done, said
            assert not done.all_problems
            assert (
                ("sends 40% of its calls to version 2: the canary of run" in said)
                or not shared
                or "80%" in said
            )
        assert team.live() == AFTER


def test_digests_are_those_that_calls_reach(team: Team) -> None:
    begin(team, "canary")
    attempt(team, "canary")

    assert team.reach() == {NEW}
