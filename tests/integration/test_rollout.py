"""Deployments in an account whose responses are late, lost, or refusals."""

from __future__ import annotations

import io
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from doubles.aws_front import AwsFront, Fault
from doubles.lambda_ import LambdaDouble

from lamina.aws.clients import Access, Clients, boto_clients
from lamina.aws.lambda_ import Functions
from lamina.declare.config import ImageSpec
from lamina.declare.functions import Function
from lamina.deploy.deploy import Deployment, DeployOptions, running
from lamina.deploy.record import DeployRecord, Note, read_note, read_records
from lamina.deploy.restore import restore
from lamina.deploy.results import Rollout
from lamina.deploy.rollout import apply
from lamina.deploy.rules import DesiredFunction, decide
from lamina.deploy.run import make_record, options_of_run, record_run, task_runs
from lamina.deploy.targets import Now, find_targets
from lamina.errors import AwsError, SelectionError
from lamina.flow.flags import Flags
from lamina.flow.session import Session
from lamina.report.console import Screen

REPOSITORY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app-dev"
OLD, NEW, OTHER = ("sha256:" + each * 64 for each in "129")
BUSY = Fault(
    code="ResourceConflictException",
    message="The operation cannot be performed at this time. An update is in progress for resource: one",
    status=409,
)
BROKEN = Fault(code="ServiceException", message="Internal error", status=500)
LIVE = DeployOptions(alias="live")
APP = ImageSpec(
    name="app",
    dockerfile=Path("/Dockerfile"),
    dockerfile_path="Dockerfile",
    context=Path("/"),
    context_path="",
    target=None,
    platform="linux/amd64",
    kind=None,
    args={},
    shared_args={},
    contexts={},
    functions=(),
    source="lamina.toml",
)


@dataclass
class Account:
    """Functions that run something older, and a deployment of them by the code of the command."""

    front: AwsFront
    lambdas: LambdaDouble
    clients: Clients
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.desk = Functions(self.clients, sleep=lambda _: time.sleep(0.01))
        self.client = self.clients("lambda")

    def asks_once(self) -> None:
        """Leave out the retries of AWS' client: a fault is the answer to a call."""
        client = boto3.client("lambda", config=Config(retries={"total_max_attempts": 1}))
        self.desk = Functions(lambda _: client, sleep=lambda _: time.sleep(0.01))

    def runs(self, digest: str, *names: str) -> None:
        for name in names:
            self.lambdas.put(name, latest=f"{REPOSITORY}@{digest}")

    def runs_again(self, name: str, digest: str) -> None:
        """Deploy something else meanwhile, without the alias."""
        self.client.update_function_code(FunctionName=name, ImageUri=f"{REPOSITORY}@{digest}")
        while self.desk.at_rest(name, until=time.monotonic() + 10).update == "InProgress":
            pass
        version = self.desk.aliases(name)["live"].version
        versions = self.lambdas._functions[name].versions
        versions[version] = versions["$LATEST"]

    def runs_behind(self, name: str, digest: str, alias: str, note: str = "") -> None:
        """Publish a version of an image and put it behind an alias, as another client."""
        function = self.lambdas._functions[name]
        version = str(len(function.versions))
        function.versions[version] = replace(function.versions["$LATEST"], uri=f"{REPOSITORY}@{digest}")
        function.notes[version] = note
        known = alias in function.aliases
        point = self.client.update_alias if known else self.client.create_alias
        point(FunctionName=name, Name=alias, FunctionVersion=version)

    def plan(self, *names: str, alias: str | None = None, command: tuple[str, ...] = ()) -> Deployment:
        wanted = [
            DesiredFunction(
                function=Function(name=name, command=command),
                image="app",
                uri=f"{REPOSITORY}@{NEW}",
                digest=NEW,
                platform="linux/amd64",
                tag="sha-2",
            )
            for name in names
        ]
        live = {name: found for name in names if (found := self.desk.read(name))}
        aliases = {
            name: self.desk.with_allocation(name, found)
            for name in names
            if alias and (found := self.desk.aliases(name).get(alias))
        }
        behind = {name: running(found) for name in aliases if (found := self.desk.read(name, str(alias)))}
        return Deployment(
            moves=tuple(
                decide(
                    each,
                    running(live[each.function.name]),
                    alias=behind.get(each.function.name),
                    aliased=alias is not None,
                    shared=each.function.name in aliases and bool(aliases[each.function.name].shares),
                )
                for each in wanted
            ),
            live=live,
            aliases=aliases,
            events=dict.fromkeys(names, b"{}"),
            clients={None: self.desk},
        )

    def deploy(
        self, *names: str, wish: DeployOptions | None = None, command: tuple[str, ...] = ()
    ) -> Rollout:
        wish = wish or DeployOptions()
        return apply(self.plan(*names, alias=wish.alias, command=command), wish, say=self.said.append)

    def lasts(self, *names: str, alias: str | None = "live") -> list[Now]:
        """Return functions as a rollback reads them."""
        return [
            Now(
                spec=APP,
                function=Function(name=name),
                client=self.desk,
                live=found,
                alias=self.desk.aliases(name)[alias] if alias else None,
                behind=self.desk.read(name, alias) if alias else None,
            )
            for name in names
            if (found := self.desk.read(name))
        ]


@pytest.fixture(scope="module")
def front() -> Iterator[AwsFront]:
    with AwsFront(doubles=[LambdaDouble(exists=lambda _: True)]) as running:
        yield running


@pytest.fixture(scope="module")
def clients(front: AwsFront) -> Iterator[Clients]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in front.environ(AWS_CONFIG_FILE="/", AWS_SHARED_CREDENTIALS_FILE="/").items():
            patch.setenv(name, value)
        yield boto_clients(Access())


@pytest.fixture
def account(front: AwsFront, clients: Clients) -> Account:
    (lambdas,) = front.doubles
    assert isinstance(lambdas, LambdaDouble)
    lambdas.clear()
    front.forgive()
    front.calls.clear()
    made = Account(front=front, lambdas=lambdas, clients=clients)
    made.runs(OLD, "one", "two")
    return made


def statuses(done: Rollout) -> list[str]:
    return [each.status for each in done.results]


def problem(done: Rollout) -> str:
    (found,) = [each.problem for each in done.results if each.problem]
    return str(found)


@pytest.mark.parametrize("retries", [True, False])
def test_an_update_with_a_lost_response_is_our_own(account: Account, retries: bool) -> None:
    account.front.losing.append("UpdateFunctionCode")
    if not retries:
        account.asks_once()

    assert statuses(account.deploy("one")) == ["updated"]
    assert account.lambdas.runs("one") == NEW


def test_a_command_with_a_lost_response_is_our_own(account: Account) -> None:
    account.lambdas.configure("one", EntryPoint=["/start"], WorkingDirectory="/srv")
    account.front.losing += ["UpdateFunctionConfiguration"]

    assert statuses(account.deploy("one", command=("app.other",))) == ["updated"]
    assert account.lambdas.image_config("one") == {
        "Command": ["app.other"],
        "EntryPoint": ["/start"],
        "WorkingDirectory": "/srv",
    }


def test_a_foreign_change_before_a_lost_update_is_reported(account: Account) -> None:
    plan = account.plan("one")
    account.client.update_function_code(FunctionName="one", ImageUri=f"{REPOSITORY}@{OTHER}")

    done = apply(plan, DeployOptions())

    assert "the function one was changed by another client" in problem(done)
    assert account.lambdas.runs("one") == OTHER


def test_a_lost_update_is_reported_and_made_by_the_next_run(account: Account) -> None:
    account.asks_once()
    account.front.play("UpdateFunctionCode", BROKEN)

    done = account.deploy("one", "two")

    assert sorted(statuses(done)) == ["failed", "updated"]
    assert "AWS answered ServiceException" in problem(done)
    assert sorted(statuses(account.deploy("one", "two"))) == ["skipped", "updated"]


def test_each_function_of_a_deployment_is_a_task_with_its_own_times(account: Account) -> None:
    account.asks_once()
    account.runs(NEW, "two")
    account.front.play("UpdateFunctionCode", BROKEN)
    began = time.time()

    failed, skipped = task_runs(account.deploy("one", "two"))

    assert (failed.kind, failed.name, failed.image, failed.status) == ("deploy", "one", "app", "failed")
    assert failed.error is not None
    assert failed.error[0] == "AwsError"
    assert "AWS answered ServiceException" in failed.error[1]
    assert began <= failed.started < failed.finished
    assert (skipped.status, skipped.error) == ("skipped", None)
    assert str(skipped.ref) == f"{REPOSITORY}@{NEW}"
    (planned,) = task_runs(apply(account.plan("one"), DeployOptions(), dry_run=True))
    assert planned.started == planned.finished


def test_looks_that_fail_while_an_update_is_waited_for_do_not_end_it(account: Account) -> None:
    account.asks_once()
    plan = account.plan("one")
    account.front.play("GetFunction", BROKEN, times=2)

    assert statuses(apply(plan, DeployOptions())) == ["updated"]


@pytest.mark.parametrize(
    "operation", ["UpdateFunctionCode", "PublishVersion", "CreateAlias", "UpdateAlias", "DeleteAlias"]
)
@pytest.mark.parametrize("trouble", ["busy", "lost"])
def test_every_step_waits_for_another_change_and_outlives_a_lost_answer(
    account: Account, operation: str, trouble: str
) -> None:
    if operation == "UpdateAlias":
        account.deploy("one", "two", wish=LIVE)
        account.runs_again("one", OTHER)
        account.runs_again("two", OTHER)
    plan = account.plan("one", "two", alias="live")
    if operation == "DeleteAlias":
        account.client.create_alias(FunctionName="two", Name="live", FunctionVersion="$LATEST")
    if trouble == "busy":
        account.front.play(operation, BUSY, times=3)
    else:
        account.front.losing.append(operation)

    done = apply(plan, LIVE, say=account.said.append)

    if operation == "DeleteAlias":
        assert "live is put back for one; run it again" in problem(done)
        assert not account.desk.aliases("one")
    else:
        assert statuses(done) == ["updated", "updated"]
        assert {account.lambdas.runs(name, "live") for name in ("one", "two")} == {NEW}
    assert not account.front.losing


def test_an_idle_version_is_woken_waited_for_and_called_again(account: Account) -> None:
    account.deploy("one", wish=LIVE)
    account.lambdas.sleep("one", "1")
    account.front.calls.clear()

    done = account.deploy("one", "two", wish=DeployOptions(alias="live", smoke=True))

    assert statuses(done) == ["skipped", "updated"]
    assert sorted(account.lambdas.invoked) == [("one", "1"), ("two", "1")]
    assert account.front.calls.count("Invoke") > 2


def test_an_idle_function_that_fails_is_reported_with_its_reason(account: Account) -> None:
    account.deploy("one")
    account.lambdas.sleep("one")
    account.lambdas.waking = "ImageAccessDenied: The function does not have permission to access the image"

    done = account.deploy("one", wish=DeployOptions(smoke=True))

    assert "$LATEST of one was idle and cannot be made ready: ImageAccessDenied" in problem(done)


def test_calls_that_are_throttled_are_made_again_and_those_that_may_have_run_are_not(
    account: Account,
) -> None:
    throttled = Fault(code="TooManyRequestsException", message="Rate Exceeded.", status=429)
    account.front.play("Invoke", throttled)
    assert statuses(account.deploy("one", wish=DeployOptions(smoke=True))) == ["updated"]

    account.lambdas.invoked.clear()
    account.front.losing.append("Invoke")
    assert statuses(account.deploy("one", wish=DeployOptions(smoke=True))) == ["failed"]
    assert len(account.lambdas.invoked) == 1


def test_weights_of_provisioned_concurrency_are_not_a_canary(account: Account) -> None:
    account.deploy("one", wish=LIVE)
    account.lambdas.provision("one", "live")
    account.runs_again("one", OTHER)

    plan = account.plan("one", alias="live")
    desk = account.desk
    assert statuses(apply(plan, LIVE, say=account.said.append)) == ["updated"]
    assert account.said[-2:] == [
        "one: live moves to version 2 as provisioned concurrency is ready",
        "one: live is version 2",
    ]
    assert not desk.aliases("one")["live"].routes

    account.lambdas.looks = 1000
    for version in ("1", "2"):
        account.client.update_alias(FunctionName="one", Name="live", FunctionVersion=version)
    assert dict(desk.aliases("one")["live"].routes) == {"1": 1.0}
    assert statuses(account.deploy("one", wish=LIVE)) == ["skipped"]


def test_provisioned_concurrency_that_cannot_be_made_puts_aliases_back(account: Account) -> None:
    account.deploy("one", "two", wish=LIVE)
    account.lambdas.provision("two", "live")
    account.lambdas.allocating = "FAILED"
    for name in ("one", "two"):
        account.runs_again(name, OTHER)

    done = account.deploy("one", "two", wish=LIVE)

    assert "provisioned concurrency for version 2 cannot be made: FUNCTION_ERROR_INIT_FAILURE" in problem(
        done
    )
    assert "live is put back for one, two" in problem(done)
    assert [account.desk.aliases(name)["live"].version for name in ("one", "two")] == ["1", "1"]


def test_shares_that_somebody_gave_are_a_canary(account: Account) -> None:
    account.runs_behind("one", OTHER, alias="other")
    account.deploy("one", wish=LIVE)
    account.client.update_alias(
        FunctionName="one", Name="live", RoutingConfig={"AdditionalVersionWeights": {"1": 0.1}},
        FunctionVersion="2",
    )  # fmt: skip

    assert statuses(account.deploy("one", wish=LIVE)) == ["pointed"]
    assert not account.desk.aliases("one")["live"].routes


@pytest.mark.parametrize("late", [False, True])
def test_an_image_that_lambda_may_not_pull_names_the_policy(account: Account, late: bool) -> None:
    if late:
        account.lambdas.failing = "The function does not have permission to access the specified image."
    else:
        refused = "Lambda does not have permission to access the ECR image. Check the ECR permissions."
        account.front.play(
            "UpdateFunctionCode", Fault(code="AccessDeniedException", message=refused, status=403)
        )

    told = problem(account.deploy("one"))

    assert "the policy of the repository team/app-dev does not let it" in told
    assert "next: invoke ecr.setup" in told


def test_ctrl_c_waits_for_running_updates_and_reports_them(account: Account) -> None:
    names = [f"many-{number:02}" for number in range(12)]
    account.runs(OLD, *names)
    plan = account.plan(*names, alias="live")
    account.lambdas.updates = 3
    pressed: list[str] = []

    def stop(name: str) -> None:
        pressed.append(name)
        if pressed == [name]:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    account.lambdas.updating = stop
    done = apply(plan, LIVE, say=account.said.append)

    assert done.interrupted
    assert any(each.startswith("stopping: waiting for many-") for each in account.said)
    updated = [each.move.wanted.function.name for each in done.results if each.status == "updated"]
    stopped = [each.move.wanted.function.name for each in done.results if each.status == "stopped"]
    assert updated
    assert stopped
    assert sorted(updated + stopped) == names
    assert {account.lambdas.runs(name) for name in updated} == {NEW}
    assert {account.lambdas.runs(name) for name in stopped} == {OLD}
    assert "CreateAlias" not in account.front.calls

    assert set(statuses(account.deploy(*names, wish=LIVE))) == {"updated", "pointed"}


ATOMIC = DeployOptions(alias="live", atomic=True)


def test_all_or_nothing_puts_back_what_was_updated(account: Account) -> None:
    account.asks_once()
    account.lambdas.configure("one", Command=["app.old"])
    plan = account.plan("one", "two", alias="live", command=("app.new",))
    account.front.play("UpdateFunctionConfiguration", BROKEN)

    done = apply(plan, ATOMIC, say=account.said.append)

    assert sorted(statuses(done)) == ["failed", "returned"]
    assert {account.lambdas.runs(name) for name in ("one", "two")} == {OLD}
    assert account.lambdas.image_config("one") == {"Command": ["app.old"]}
    assert account.lambdas.image_config("two") == {}
    assert account.desk.aliases("one") == account.desk.aliases("two") == {}


def test_all_or_nothing_counts_aliases_too(account: Account) -> None:
    account.asks_once()
    account.deploy("one", "two", wish=LIVE)
    account.runs_again("one", OTHER)
    account.runs_again("two", OTHER)
    plan = account.plan("one", "two", alias="live")
    account.lambdas.frozen.add("two")

    done = apply(plan, ATOMIC, say=account.said.append)

    assert "was moved by another client" in problem(done)
    assert {account.lambdas.runs(name) for name in ("one", "two")} == {OTHER}
    assert account.lambdas.runs("one", "live") == OTHER


def test_a_function_that_does_not_answer_is_put_back_too(account: Account) -> None:
    account.lambdas.answers["one"] = "no good"
    account.runs(OLD, "one")
    done = account.deploy("one", wish=DeployOptions(smoke=True, atomic=True))

    assert statuses(done) == ["failed"]
    assert "does not answer its event" in problem(done)
    assert "stay updated" not in problem(done)
    assert account.lambdas.runs("one") == OLD


def test_all_or_nothing_leaves_what_another_client_deployed_meanwhile(account: Account) -> None:
    account.lambdas.answers["one"] = "no good"
    account.lambdas.configure("two", Command=["app.old"])
    plan = account.plan("one", "two", command=("app.new",))
    untouched = apply(plan, DeployOptions(smoke=True))
    account.client.update_function_code(FunctionName="two", ImageUri=f"{REPOSITORY}@{OTHER}")
    account.desk.settled("two", until=time.monotonic() + 10)

    back = restore(plan, plan.moves, 10, account.said.append)

    assert "no alias was moved, the updated functions stay updated" in problem(untouched)
    assert back.problems["one"] is None
    assert "another client changed its image meanwhile" in str(back.problems["two"])
    assert {name: account.lambdas.runs(name) for name in ("one", "two")} == {"one": OLD, "two": OTHER}
    assert account.lambdas.image_config("two") == {"Command": ["app.new"]}


def test_all_or_nothing_leaves_a_command_that_another_client_set_meanwhile(account: Account) -> None:
    plan = account.plan("one", command=("app.new",))
    apply(plan, DeployOptions())
    account.client.update_function_configuration(FunctionName="one", ImageConfig={"Command": ["app.theirs"]})
    account.desk.settled("one", until=time.monotonic() + 10)

    back = restore(plan, plan.moves, 10, account.said.append)

    assert "another client changed its command meanwhile" in str(back.problems["one"])
    assert account.lambdas.runs("one") == OLD
    assert account.lambdas.image_config("one") == {"Command": ["app.theirs"]}


def test_a_version_says_which_deployment_published_it(account: Account) -> None:
    for run, digest in (("20260101T000000-aaaaaa", OTHER), ("20260102T000000-bbbbbb", NEW)):
        plan = account.plan("one", alias="live")
        if digest != NEW:
            (move,) = plan.moves
            other = replace(move.wanted, uri=f"{REPOSITORY}@{digest}")
            plan = replace(plan, moves=(replace(move, wanted=other),))
        apply(plan, DeployOptions(alias="live", run=run, commit="c0ffee" * 6))

    first, second = (read_note(live.description) for each in "12" if (live := account.desk.read("one", each)))

    known = Note(run="20260101T000000-aaaaaa", tag="sha-2", alias="live", commit="c0ffeec0ffee")
    assert first == known
    assert second == replace(known, run="20260102T000000-bbbbbb", before="1")
    moved = account.desk.aliases("one")["live"]
    assert read_note(moved.description) == replace(
        known, run="20260102T000000-bbbbbb", before="1", version="2"
    )


def test_ctrl_c_puts_back_what_was_updated_if_all_or_nothing_was_asked(account: Account) -> None:
    names = [f"many-{number:02}" for number in range(12)]
    account.runs(OLD, *names)
    plan = account.plan(*names, alias="live")
    pressed: list[str] = []

    def press(name: str) -> None:
        if not pressed:
            pressed.append(name)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    account.lambdas.updating = press
    done = apply(plan, ATOMIC, say=account.said.append)

    assert done.interrupted
    assert set(statuses(done)) <= {"returned", "stopped"}
    assert "returned" in statuses(done)
    assert "functions are being put back (Ctrl-C again: leave them as they are)" in account.said
    assert {account.lambdas.runs(name) for name in names} == {OLD}


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_while_functions_are_put_back(account: Account, times: int) -> None:
    """The first one changes nothing, the second one leaves them, and says so."""
    account.runs(OLD, "one", "two")
    account.lambdas.answers["one"] = "no good"
    plan = account.plan("one", "two")
    changed: list[str] = []
    released = threading.Event()

    def press() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def hold(name: str) -> None:
        changed.append(name)
        if len(changed) == 3:
            press()
            released.wait()

    def say(line: str) -> None:
        account.said.append(line)
        if line.startswith("functions are being put back"):
            press() if times == 2 else released.set()

    account.lambdas.updating = hold
    try:
        done = apply(plan, DeployOptions(smoke=True, atomic=True), say=say)
    finally:
        released.set()
        for each in threading.enumerate():
            if each.name == "insist":
                each.join()

    assert done.interrupted
    problems = "\n".join(map(str, done.all_problems))
    assert ("its return was not waited for" in problems) is (times == 2), problems
    assert {account.lambdas.runs(name) for name in ("one", "two")} == {OLD}


FIRST, SECOND, THIRD = (f"2026010{day}T000000-aaaaaa" for day in "123")


def run_of(
    account: Account, run: str, *names: str, alias: str | None = "live", smoke: bool = False
) -> DeployRecord | None:
    """Deploy, and return the record of it."""
    plan = account.plan(*names, alias=alias)
    wish = DeployOptions(alias=alias, smoke=smoke, run=run)
    return make_record("deploy", "dev", wish, plan, apply(plan, wish))


def test_a_rollback_follows_the_alias_and_not_the_version_that_another_alias_got(account: Account) -> None:
    account.runs_behind("one", OTHER, alias="live")
    run_of(account, FIRST, "one", alias="beta")
    here = run_of(account, SECOND, "one")
    (now,) = account.lasts("one")
    assert now.alias
    assert (now.alias.version, now.running.digest) == ("2", NEW)

    assert find_targets([now], [], None)["one"].version == "1"
    assert find_targets([now], [here] if here else [], None)["one"].version == "1"
    unknown = replace(now, alias=replace(now.alias, description="ours"))
    with pytest.raises(SelectionError, match="nothing to roll back"):
        find_targets([unknown], [], None)


def test_what_an_alias_says_of_a_version_that_it_left_does_not_count(account: Account) -> None:
    account.runs_behind("one", OTHER, alias="live")
    run_of(account, FIRST, "one")
    account.client.update_alias(FunctionName="one", Name="live", FunctionVersion="1")

    with pytest.raises(SelectionError, match="nothing to roll back"):
        find_targets(account.lasts("one"), [], None)


def test_a_rollback_that_publishes_a_version_is_not_rolled_forward_again(account: Account) -> None:
    account.runs_behind("one", OTHER, alias="live")
    plan = account.plan("one", alias="live")
    apply(plan, DeployOptions(alias="live", rollback=True, run=FIRST))

    (now,) = account.lasts("one")
    assert now.running.version == "2"
    with pytest.raises(SelectionError, match="nothing to roll back"):
        find_targets([now], [], None)


def test_a_description_that_is_not_ours_stays(account: Account) -> None:
    account.client.create_alias(
        FunctionName="one", Name="live", FunctionVersion="$LATEST", Description="for the shop"
    )

    run_of(account, FIRST, "one")

    assert account.desk.aliases("one")["live"].version == "1"
    assert account.desk.aliases("one")["live"].description == "for the shop"


def test_an_alias_that_is_put_back_gets_its_description_back(account: Account) -> None:
    run_of(account, FIRST, "one", "two")
    before = account.desk.aliases("one")["live"]
    for name in ("one", "two"):
        account.runs_again(name, OTHER)
    account.lambdas.frozen.add("two")

    run_of(account, SECOND, "one", "two")

    now = account.desk.aliases("one")["live"]
    assert (now.version, now.description) == (before.version, before.description)


def test_a_function_that_failed_after_its_update_is_recorded_without_the_alias(account: Account) -> None:
    account.lambdas.answers["one"] = "no good"

    made = run_of(account, FIRST, "one", "two", smoke=True)

    assert made
    assert made.alias is None
    assert {name: ran.digest for name, ran in made.after.items()} == {"one": NEW, "two": NEW}
    assert {name: ran.digest for name, ran in made.before.items()} == {"one": OLD, "two": OLD}
    found = find_targets(account.lasts("one", "two", alias=None), [made], None)
    assert {ran.digest for ran in found.values()} == {OLD}


def test_a_function_that_failed_before_its_update_is_not_recorded(account: Account) -> None:
    account.asks_once()
    account.front.play("UpdateFunctionCode", BROKEN)

    made = run_of(account, FIRST, "one", alias=None)

    assert made is None


def test_a_run_is_returned_to_by_what_is_known_last_up_to_it(account: Account) -> None:
    old = run_of(account, FIRST, "one")
    account.runs_behind("one", OTHER, alias="live", note=str(Note(run=SECOND, tag="sha-9", alias="live")))
    records = [old] if old else []
    now = account.lasts("one")

    assert find_targets(now, records, FIRST)["one"].version == "1"
    assert find_targets(now, records, SECOND)["one"].version == "2"
    with pytest.raises(SelectionError, match=f"no function ran {THIRD}"):
        find_targets(now, records, THIRD)
    del account.lambdas._functions["one"].versions["1"]
    with pytest.raises(AwsError, match="one has no version 1 any more"):
        find_targets(now, records, FIRST)


def test_a_digest_is_for_the_functions_that_ran_it(account: Account) -> None:
    made = run_of(account, FIRST, "one", alias=None)
    now = account.lasts("one", "two", alias=None)
    other = replace(now[1], spec=replace(now[1].spec, name="other"))

    assert find_targets(now, [made] if made else [], OLD).keys() == {"one"}
    assert find_targets(now, [], OTHER).keys() == {"one", "two"}
    with pytest.raises(SelectionError, match=f"no function ran {OTHER}"):
        find_targets([now[0], other], [], OTHER)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """A project with a commit."""
    (tmp_path / "pyproject.toml").write_text("[tool.lamina]\n")
    (tmp_path / ".gitignore").write_text(".lamina\n")
    for words in ("init", "add .", "-c user.name=x -c user.email=x@y commit -m x"):
        subprocess.run(["git", *words.split()], cwd=tmp_path, check=True, capture_output=True)
    return Session(Flags(), Screen(env={}), root=tmp_path)


def test_the_record_is_there_before_aws_says_who_the_caller_is(account: Account, session: Session) -> None:
    plan = account.plan("one")
    options = DeployOptions(run=FIRST)
    seen: list[str | None] = []

    def kept() -> list[str | None]:
        state, stack = session.project.state, session.project.stack.name
        return [each.caller for each in read_records(state, stack, None)]

    def who(_: Session) -> str:
        seen.extend(kept())
        return "arn:aws:iam::123456789012:user/x"

    record_run(session, "deploy", options, plan, apply(plan, options), who=who)

    assert seen == [None]
    assert kept() == ["arn:aws:iam::123456789012:user/x"]


def test_a_stopped_deployment_does_not_wait_for_the_name_of_the_caller(
    account: Account, session: Session
) -> None:
    plan = account.plan("one")
    options = DeployOptions(run=FIRST)
    released = threading.Event()

    def who(_: Session) -> str:
        released.wait()
        return "never said"

    record_run(session, "deploy", options, plan, replace(apply(plan, options), interrupted=True), who=who)

    state, stack = session.project.state, session.project.stack.name
    assert [each.caller for each in read_records(state, stack, None)] == [None]
    released.set()


def test_a_record_that_cannot_be_written_is_a_note(account: Account, session: Session) -> None:
    told = io.StringIO()
    session = Session(Flags(), Screen(env={}, stream=told), root=session.project.root)
    session.project.state.mkdir(parents=True, exist_ok=True)
    (session.project.state / "deploys").write_text("not a folder")
    plan = account.plan("one")
    options = DeployOptions(run=FIRST)

    record_run(session, "deploy", options, plan, apply(plan, options))

    assert f"the record of {FIRST} is not written" in told.getvalue()


def test_a_deployment_has_the_commit_of_a_worktree_without_changes(session: Session) -> None:
    def commit(*, of_worktree: bool) -> str | None:
        return options_of_run(session, DeployOptions(), of_worktree=of_worktree).commit

    assert commit(of_worktree=True)
    assert commit(of_worktree=False) is None
    (session.project.root / "new").write_text("a change")
    assert commit(of_worktree=True) is None
