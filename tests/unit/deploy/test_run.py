"""What is recorded of a deployment that ended early."""

from __future__ import annotations

from lamina.aws.live import Live
from lamina.declare.functions import Function
from lamina.deploy.deploy import Deployment, DeployOptions
from lamina.deploy.record import Ran
from lamina.deploy.results import DeployResult, Rollout, Status
from lamina.deploy.rules import DesiredFunction, FunctionUpdate
from lamina.deploy.run import make_record

OLD, NEW = (f"registry/app@sha256:{each * 64}" for each in "12")
LIVE = Live(
    name="one",
    version="$LATEST",
    package="Image",
    digest=OLD.partition("@")[2],
    command=("app.old",),
    architecture="x86_64",
    state="Active",
    update="Successful",
    reason="",
    revision=None,
    uri=OLD,
)


def move(*, image: bool, command: bool = False, pointed: bool = False) -> FunctionUpdate:
    wanted = DesiredFunction(
        function=Function(name="one", command=("app.new",)),
        image="app",
        uri=NEW,
        digest=NEW.partition("@")[2],
        platform="linux/amd64",
        tag="sha-2",
    )
    return FunctionUpdate(wanted=wanted, image=image, command=command, reasons=(), pointed=pointed)


def recorded(update: FunctionUpdate, status: Status) -> dict[str, tuple[Ran, Ran]]:
    done = Rollout(results=(DeployResult(move=update, status=status),), interrupted=True)
    deployment = Deployment(moves=(update,), live={"one": LIVE}, aliases={}, events={}, clients={})
    made = make_record("deploy", "dev", DeployOptions(alias="live"), deployment, done)
    if made is None:
        return {}
    assert made.alias is None
    return {name: (made.before[name], after) for name, after in made.after.items()}


def test_an_update_that_was_begun_and_not_waited_for_is_recorded() -> None:
    before = Ran(uri=OLD, command=("app.old",))

    assert recorded(move(image=True), "begun") == {"one": (before, Ran(uri=NEW, command=("app.old",)))}
    assert recorded(move(image=True, command=True), "begun") == {
        "one": (before, Ran(uri=NEW, command=("app.new",)))
    }
    assert recorded(move(image=False, command=True), "begun") == {
        "one": (before, Ran(uri=OLD, command=("app.new",)))
    }


def test_what_was_not_begun_or_changes_nothing_but_an_alias_is_not_recorded() -> None:
    assert recorded(move(image=True), "stopped") == {}
    assert recorded(move(image=False, pointed=True), "begun") == {}
