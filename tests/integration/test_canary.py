"""Canaries: calls move to new versions in steps, and return when alarms, answers or Ctrl-C say so."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from doubles.aws_front import Fault
from team import NEW, OLD, OTHER, Team, statuses, words

from lamina.deploy.results import CanaryReport, CanaryStep, Rollout
from lamina.deploy.rollout import apply
from lamina.errors import AwsError

OLD_HAS_ALL = {"one": ("1", {}), "two": ("1", {})}
NEW_HAS_ALL = {"one": ("2", {}), "two": ("2", {})}
DENIED = Fault(code="AccessDeniedException", message="User: x is not authorized to perform: it", status=403)
THROTTLED = Fault(code="ThrottlingException", message="Rate exceeded", status=429)


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


def press() -> NoReturn:
    raise KeyboardInterrupt


def trouble_at(operation: str, count: int) -> Callable[[int, str], Fault | None]:
    """Return what denies an operation once, at its ``count``-th call."""
    calls: list[str] = []

    def trouble(_: int, called: str) -> Fault | None:
        calls.append(called)
        return DENIED if called == operation and calls.count(operation) == count else None

    return trouble


def shared(share: float) -> dict[str, tuple[str, dict[str, float]]]:
    return dict.fromkeys(("one", "two"), ("1", {"2": share}))


def steps(done: CanaryReport | None) -> list[tuple[str, float]]:
    assert done
    return [(each.at, each.weight) for each in done.history]


def test_a_canary_shares_the_calls_and_then_moves_all(team: Team) -> None:
    team.alarms.states = {"errors": "OK", "late": "INSUFFICIENT_DATA"}
    seen = []
    team.time.at = {299: lambda: seen.append(team.live())}

    done = team.deploy(team.options("10%:5m", "errors", "late"))

    assert seen == [shared(0.1)]
    assert team.live() == NEW_HAS_ALL
    assert statuses(done) == ["updated", "updated"]
    assert done.canary == CanaryReport(
        shift="canary 10%:5m",
        functions=("one", "two"),
        outcome="shifted",
        history=(CanaryStep(at="at 0", weight=0.1), CanaryStep(at="at 300", weight=1)),
    )
    assert "live: 10% of the calls of one, two go to their new versions, watched for 300 s" in team.said


def test_a_linear_shift_adds_a_share_each_time(team: Team) -> None:
    done = team.deploy(team.options(linear="30%:1m"))

    assert steps(done.canary) == [("at 0", 0.3), ("at 60", 0.6), ("at 120", 0.9), ("at 180", 1)]
    assert team.live() == NEW_HAS_ALL


def test_an_alarm_returns_the_calls_of_all_functions(team: Team) -> None:
    team.alarms.states = {"errors": "OK"}
    team.time.at = {100: lambda: team.alarms.states.update(errors="ALARM")}
    before = {name: team.functions.aliases(name)["live"] for name in team.names}

    done = team.deploy(team.options("10%:5m", "errors"))

    assert team.live() == OLD_HAS_ALL
    assert statuses(done) == ["returned", "returned"]
    assert "the alarm errors is in ALARM: it is ALARM" in words(done)
    assert "live is put back for one, two; run it again" in words(done)
    assert done.canary
    assert done.canary.outcome == "returned"
    assert steps(done.canary) == [("at 0", 0.1), ("at 100", 0)]
    now = team.functions.aliases("one")["live"]
    assert now.description == before["one"].description
    assert team.lambdas.runs("one") == NEW

    team.alarms.states = {"errors": "OK"}
    assert statuses(team.deploy(team.options("10%:5m", "errors"))) == ["pointed", "pointed"]
    assert team.live() == NEW_HAS_ALL


def test_a_returned_canary_that_is_all_or_nothing_puts_the_code_back_too(team: Team) -> None:
    team.alarms.states = {"errors": "OK"}
    team.time.at = {1: lambda: team.alarms.states.update(errors="ALARM")}

    team.deploy(team.options("10%:5m", "errors", atomic=True))

    assert {team.lambdas.runs(name) for name in team.names} == {OLD}
    assert team.live() == OLD_HAS_ALL


def test_a_wrong_answer_of_a_new_version_returns(team: Team) -> None:
    team.time.at = {60: lambda: team.lambdas.answers.update(two="no good")}

    done = team.deploy(team.options("10%:1m", smoke=True))

    assert "version 2 of two does not answer its event: Unhandled" in words(done)
    assert team.live() == OLD_HAS_ALL
    assert team.lambdas.invoked[-2:] == [("one", "2"), ("two", "2")]


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ({"errors": "ALARM"}, "the alarm errors is in ALARM"),
        ({}, "there is no alarm errors"),
    ],
)
def test_alarms_are_looked_at_before_anything_moves(team: Team, states: dict[str, str], said: str) -> None:
    team.alarms.states = states
    team.here.calls.clear()

    with pytest.raises(AwsError, match=said):
        team.deploy(team.options("10%:5m", "errors"))

    assert not [each for each in team.here.calls if each.startswith(("Update", "Publish"))]


def test_more_than_a_hundred_alarms_are_asked_for_in_parts(team: Team) -> None:
    names = [f"alarm {number}" for number in range(150)]
    team.alarms.states = dict.fromkeys(names, "OK")

    team.deploy(team.options("10%:1s", *names))

    assert team.live() == NEW_HAS_ALL


def test_looks_that_fail_twice_do_not_end_a_canary_and_three_do(team: Team) -> None:
    def failing(times: int) -> Callable[[], None]:
        def begin() -> None:
            left = [THROTTLED] * times
            team.here.trouble = lambda _, operation: (
                left.pop() if left and operation == "DescribeAlarms" else None
            )

        return begin

    team.alarms.states = {"errors": "OK"}
    team.time.at = {100: failing(2)}
    assert team.deploy(team.options("10%:5m", "errors")).canary
    assert team.live() == NEW_HAS_ALL

    team.time.at = {team.time.seconds + 100: failing(3)}
    done = team.deploy(team.options("10%:5m", "errors"), OTHER)
    assert "AWS throttles this account's requests" in words(done)
    assert team.live() == NEW_HAS_ALL


def test_an_alarm_that_may_not_be_read_any_more_returns_at_once(team: Team) -> None:
    def deny() -> None:
        team.here.trouble = lambda _, operation: DENIED if operation == "DescribeAlarms" else None

    team.alarms.states = {"errors": "OK"}
    team.time.at = {50: deny}

    done = team.deploy(team.options("10%:5m", "errors"))

    assert "not allowed: cloudwatch:DescribeAlarms" in words(done)
    assert team.live() == OLD_HAS_ALL


def test_an_alarm_that_is_deleted_meanwhile_returns(team: Team) -> None:
    team.alarms.states = {"errors": "OK"}
    team.time.at = {50: team.alarms.states.clear}

    assert "there is no alarm errors" in words(team.deploy(team.options("10%:5m", "errors")))
    assert team.live() == OLD_HAS_ALL


def test_ctrl_c_returns(team: Team) -> None:
    team.time.at = {50: press}

    done = team.deploy(team.options("10%:5m"))

    assert done.interrupted
    assert not done.all_problems
    assert statuses(done) == ["returned", "returned"]
    assert team.live() == OLD_HAS_ALL


def test_a_second_ctrl_c_names_the_aliases_that_still_share_calls(team: Team) -> None:
    def twice() -> None:
        updates = 0

        def trouble(_: int, operation: str) -> None:
            nonlocal updates
            updates += operation == "UpdateAlias"
            if operation == "UpdateAlias" and updates == 2:
                press()

        team.here.trouble = trouble
        press()

    team.time.at = {50: twice}

    done = team.deploy(replace(team.options("10%:5m"), stack="prod"))

    assert done.interrupted
    assert team.live() == {"one": ("1", {}), "two": ("1", {"2": 0.1})}
    assert "live of two sends 10% of its calls to version 2: its return was not waited for" in words(done)
    assert "live of one" not in words(done)
    assert "next: invoke deploy --rollback --alias live --stack prod returns it" in words(done)
    assert done.canary
    assert done.canary.outcome == "left"
    assert statuses(done) == ["returned", "failed"]

    team.here.fine()
    assert statuses(team.roll_back()) == ["pointed"]
    assert team.live() == OLD_HAS_ALL


@pytest.mark.parametrize("moment", ["after it was read", "after it was put back"])
def test_a_share_that_lambda_gives_late_is_taken_back_or_refused(team: Team, moment: str) -> None:
    late: list[dict[str, object]] = []
    calls: list[str] = []

    def trouble(_: int, operation: str) -> None:
        calls.append(operation)
        if calls.count("UpdateAlias") == 2 and not late:
            revision = team.lambdas._functions["two"].aliases["live"]["RevisionId"]
            shares = {"AdditionalVersionWeights": {"2": 0.1}}
            alias = {"FunctionName": "two", "Name": "live", "FunctionVersion": "1"}
            late.append({**alias, "RoutingConfig": shares, "RevisionId": revision})
            calls.clear()
            press()

    def lost(_: int, operation: str) -> None:
        last = ("ListAliases", 2) if moment == "after it was read" else ("UpdateAlias", 2)
        if late and (operation, calls.count(operation)) == last:
            team.lambdas.answer("UpdateAlias", late[0])

    options = team.options("10%:5m")
    plan = team.plan(NEW, options)
    team.here.trouble, team.here.lost = trouble, lost

    done = team.apply(plan, options)

    assert done.interrupted
    assert not done.all_problems
    assert team.live() == OLD_HAS_ALL


def test_ctrl_c_while_an_alarm_returns_the_calls_does_not_end_the_return(team: Team) -> None:
    team.alarms.states = {"errors": "OK"}

    def ring() -> None:
        pressed: list[int] = []

        def trouble(number: int, operation: str) -> None:
            if operation == "UpdateAlias" and not pressed:
                pressed.append(number)
                press()

        team.alarms.states["errors"] = "ALARM"
        team.here.trouble = trouble

    team.time.at = {50: ring}

    done = team.deploy(team.options("10%:5m", "errors"))

    assert team.live() == OLD_HAS_ALL
    assert "the alarm errors is in ALARM" in words(done)


def test_a_shift_of_another_client_is_not_overwritten(team: Team) -> None:
    team.time.at = {70: lambda: team.point("two", "1", v2=0.5)}

    done = team.deploy(team.options(linear="10%:1m"))

    assert "the alias live of two was moved by another client meanwhile\n" in words(done)
    assert team.live() == {"one": ("1", {}), "two": ("1", {"2": 0.5})}


def test_a_return_leaves_an_alias_that_another_client_moved(team: Team) -> None:
    team.alarms.states = {"errors": "OK"}

    def other() -> None:
        team.point("two", "2")
        team.lambdas._functions["two"].versions["3"] = team.lambdas._functions["two"].versions["1"]
        team.point("two", "3")
        team.alarms.states["errors"] = "ALARM"

    team.time.at = {50: other}

    done = team.deploy(team.options("10%:5m", "errors"))

    assert "live of two is version 3, moved by another client meanwhile, which stays" in words(done)
    assert team.live() == {"one": ("1", {}), "two": ("3", {})}


def test_a_failure_leaves_what_another_deployment_of_the_same_image_did_meanwhile(team: Team) -> None:
    for late in (team.options("10%:5m"), team.options()):
        team.begin()
        plan = team.plan(NEW, late)
        team.deploy(replace(team.options(), run="20260109T000000-bbbbbb"))
        team.here.trouble = trouble_at("UpdateAlias", 2)

        done = team.apply(plan, late)

        assert done.all_problems
        assert team.live() == NEW_HAS_ALL


def test_a_failure_leaves_an_alias_that_another_deployment_of_the_same_image_made(team: Team) -> None:
    for name in team.names:
        del team.lambdas._functions[name].aliases["live"]
    late = team.options()
    plan = team.plan(NEW, late)
    team.deploy(team.options())
    team.here.trouble = trouble_at("CreateAlias", 2)

    done = team.apply(plan, late)

    assert "live of one is version 2, moved by another client meanwhile, which stays" in words(done)
    assert {version for version, _ in team.live().values()} == {"2"}


def test_a_canary_that_begins_during_another_one_of_the_same_image_does_not_end_it(team: Team) -> None:
    late = team.options("10%:5m")
    plan = team.plan(NEW, late)
    ends: list[Rollout] = []

    def begin() -> None:
        team.here.trouble = trouble_at("UpdateAlias", 1)
        ends.append(team.apply(plan, late))
        team.here.fine()

    team.time.at = {50: begin}

    done = team.deploy(team.options("10%:5m"))

    assert "not allowed" in words(ends[0])
    assert not done.all_problems
    assert team.live() == NEW_HAS_ALL


def test_functions_without_the_alias_or_with_the_image_are_left_alone(team: Team) -> None:
    del team.lambdas._functions["one"].aliases["live"]
    team.time.at = {30: lambda: seen.append({*team.lambdas._functions["one"].aliases})}
    seen: list[set[str]] = []

    done = team.deploy(team.options("10%:1m"))

    assert seen == [set()]
    assert done.canary
    assert done.canary.functions == ("two",)
    assert {name: version for name, (version, _) in team.live().items()} == {"one": "2", "two": "2"}
    again = team.deploy(team.options("10%:1m"))
    assert statuses(again) == ["skipped", "skipped"]
    assert again.canary is None


def test_an_alias_that_cannot_share_calls_is_named_before_anything_moves(team: Team) -> None:
    team.lambdas.provision("one", "live")
    team.lambdas._functions["two"].aliases["live"]["FunctionVersion"] = "$LATEST"

    with pytest.raises(AwsError) as error:
        team.deploy(team.options("10%:5m"))

    told = str(error.value)
    assert "live of one has provisioned concurrency, with which an alias cannot share calls" in told
    assert "live of two names $LATEST, which cannot share calls" in told
    assert {team.lambdas.runs(name) for name in team.names} == {OLD}


def test_a_share_that_another_client_gave_is_not_replaced_by_a_canary(team: Team) -> None:
    team.deploy(team.options())
    team.point("two", "1", v2=0.2)

    with pytest.raises(AwsError, match="sends 20% of its calls to version 2: not by Lamina, and a canary"):
        team.deploy(team.options("10%:5m"), OTHER)

    assert team.live()["two"] == ("1", {"2": 0.2})


def test_a_new_alias_at_the_final_step_that_fails_returns_everything(team: Team) -> None:
    def trouble(_: int, operation: str) -> Fault | None:
        return DENIED if operation == "CreateAlias" else None

    del team.lambdas._functions["two"].aliases["live"]
    team.here.trouble = trouble

    done = team.deploy(team.options("10%:5m"))

    assert "not allowed: lambda:CreateAlias" in words(done)
    assert team.functions.aliases("one")["live"].version == "1"
    assert not team.functions.aliases("one")["live"].routes
    assert not team.functions.aliases("two")


def test_output_that_is_not_read_any_more_returns(team: Team) -> None:
    def say(line: str) -> None:
        if line.startswith("live: 10%"):
            raise BrokenPipeError

    options = team.options("10%:5m")
    with pytest.raises(BrokenPipeError):
        apply(team.plan(NEW, options), options, say=say, waiting=team.time.waiting())

    assert team.live() == OLD_HAS_ALL


def test_ctrl_c_that_also_ends_the_reader_of_the_output_returns(team: Team) -> None:
    def say(_: str) -> None:
        if pressed:
            raise BrokenPipeError

    def both() -> NoReturn:
        pressed.append(True)
        press()

    pressed: list[bool] = []
    team.time.at = {50: both}
    options = team.options("10%:5m")
    with pytest.raises(BrokenPipeError):
        apply(team.plan(NEW, options), options, say=say, waiting=team.time.waiting())

    assert team.live() == OLD_HAS_ALL


@pytest.mark.parametrize("atomic", [False, True])
def test_ctrl_c_that_also_ends_the_reader_of_the_output_waits_for_updates(team: Team, atomic: bool) -> None:
    first, ended = threading.Lock(), threading.Event()

    def trouble(_: int, operation: str) -> None:
        if operation == "UpdateFunctionCode":
            if first.acquire(blocking=False):
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            ended.wait()

    def say(line: str) -> None:
        if line.startswith("stopping"):
            ended.set()
        if ended.is_set():
            raise BrokenPipeError

    options = team.options(atomic=atomic)
    plan = team.plan(NEW, options)
    team.here.trouble = trouble

    done = apply(plan, options, say=say)

    assert done.interrupted
    changed = {name for name in team.names if team.lambdas.runs(name) == NEW}
    assert changed == {str(each.move.wanted.function) for each in done.results if each.now}
    assert bool(changed) is not atomic


def test_an_image_that_the_alias_has_already_needs_no_canary(team: Team) -> None:
    team.time.at = {50: press}
    team.deploy(team.options("10%:5m"))

    done = team.deploy(team.options("10%:5m"), OLD)

    assert done.canary is None
    assert team.live() == {"one": ("3", {}), "two": ("3", {})}
    assert team.reach() == {OLD}


def test_a_version_gets_calls_only_when_its_snapshot_is_made(team: Team) -> None:
    def trouble(_: int, operation: str) -> None:
        if operation == "UpdateAlias":
            assert team.functions.read("one", "2")
            left.append(team.lambdas._functions["one"].snapping["2"])

    left: list[int] = []
    team.lambdas.looks = 3
    team.here.trouble = trouble
    options = team.options("10%:5m")
    plan = team.plan(NEW, options)
    moves = tuple(
        replace(each, snap_start=True, wanted=replace(each.wanted, snap_start=True)) for each in plan.moves
    )

    done = team.apply(replace(plan, moves=moves), options)

    assert not done.all_problems
    assert left
    assert set(left) == {0}


class Killed(BaseException):
    """What kill -9 is: nothing is done any more."""


def kill(team: Team) -> None:
    def dead(*_: object) -> NoReturn:
        raise Killed

    team.here.trouble = dead
    raise Killed


@pytest.mark.parametrize("end", ["rollback", "deploy", "canary"])
def test_what_a_killed_canary_left_is_said_and_ended(team: Team, end: str) -> None:
    options = team.options("10%:5m")
    team.time.at = {50: lambda: kill(team)}
    with pytest.raises(Killed):
        team.deploy(options)
    team.here.fine()
    assert team.live() == shared(0.1)
    team.said.clear()

    if end == "rollback":
        assert statuses(team.roll_back()) == ["pointed", "pointed"]
        assert team.live() == OLD_HAS_ALL
    else:
        team.deploy(team.options("10%:5m") if end == "canary" else team.options())
        assert team.live() == NEW_HAS_ALL
        told = "".join(team.said)
        assert "live of one (version 1) sends 10% of its calls to version 2: the canary of run" in told
        assert options.run in told


def test_a_killed_canary_of_a_version_that_was_published_for_another_alias_returns(team: Team) -> None:
    team.deploy(team.options(), OTHER)
    team.deploy(replace(team.options(), alias="test"))
    team.time.at = {50: lambda: kill(team)}
    with pytest.raises(Killed):
        team.deploy(team.options("10%:5m"))
    team.here.fine()
    team.said.clear()

    plan = team.plan(NEW, team.options("10%:5m"))

    assert [each.pointed for each in plan.moves] == [True, True]
    assert "not by Lamina" not in "".join(team.said)
    assert statuses(team.roll_back()) == ["pointed", "pointed"]
    assert team.live() == {"one": ("2", {}), "two": ("2", {})}
    assert statuses(team.roll_back()) == ["pointed", "pointed"]
    assert team.live() == OLD_HAS_ALL


def test_what_a_killed_canary_left_is_known_also_behind_an_alias_that_was_moved_by_hand(team: Team) -> None:
    team.deploy(team.options())
    team.point("one", "1")
    team.time.at = {50: lambda: kill(team)}
    with pytest.raises(Killed):
        team.deploy(team.options("10%:5m"), OTHER)
    team.here.fine()
    assert team.live() == {"one": ("1", {"3": 0.1}), "two": ("2", {"3": 0.1})}

    assert statuses(team.roll_back()) == ["pointed", "pointed"]
    assert team.live() == {"one": ("1", {}), "two": ("2", {})}


def test_a_killed_canary_that_is_tried_again_and_returns_leaves_no_share(team: Team) -> None:
    team.time.at = {50: lambda: kill(team)}
    with pytest.raises(Killed):
        team.deploy(team.options("10%:5m"))
    team.here.fine()
    team.time.at = {team.time.seconds + 50: press}

    team.deploy(team.options("20%:5m"))

    assert team.live() == OLD_HAS_ALL


def test_the_record_says_that_there_was_a_canary(team: Team) -> None:
    made = team.recorded(team.options("10%:5m"))
    assert made.canary == {"shift": "canary 10%:5m", "outcome": "shifted"}
    assert made.alias == "live"

    team.time.at = {team.time.seconds + 50: press}
    made = team.recorded(team.options("10%:5m"), OTHER)
    assert made.canary == {"shift": "canary 10%:5m", "outcome": "returned"}
    assert made.alias is None
