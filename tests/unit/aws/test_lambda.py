from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from lamina.aws.clients import INVOKING
from lamina.aws.lambda_ import Functions
from lamina.aws.live import Live
from lamina.errors import AwsError

DIGEST = "sha256:" + "1" * 64
URI = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/app@{DIGEST}"
OTHER = URI.partition("@")[0] + "@sha256:" + "9" * 64


@dataclass
class Aws:
    """Lambda that answers from a script, and a clock that only waiting moves."""

    now: float = 0.0
    stub: Stubber = field(init=False)

    def __post_init__(self) -> None:
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "eu-west-1"}
        self.client = boto3.client("lambda", config=Config(retries={"total_max_attempts": 1}), **keys)  # type: ignore[call-overload]
        self.stub = Stubber(self.client)
        self.stub.activate()

    def __call__(self, service: str) -> Any:
        assert service in {"lambda", INVOKING}
        return self.client

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def tells(self, **more: Any) -> None:
        """What the next look at the function answers."""
        settings = {"FunctionName": "app", "PackageType": "Image", "State": "Active", **more}
        self.stub.add_response("get_function", {"Configuration": settings, "Code": {"ResolvedImageUri": URI}})

    def refuses(self, operation: str, code: str) -> None:
        self.stub.add_client_error(operation, service_error_code=code, service_message="no")


@pytest.fixture
def aws() -> Iterator[Aws]:
    made = Aws()
    yield made
    made.stub.assert_no_pending_responses()


@pytest.fixture
def functions(aws: Aws) -> Functions:
    return Functions(aws, sleep=aws.sleep, clock=lambda: aws.now)


LIVE = Live(
    name="app", version="$LATEST", package="Image", digest=DIGEST, command=(), architecture="arm64",
    state="Active", update="Successful", reason="", revision="r1",
)  # fmt: skip


def test_a_function_is_read_and_one_that_is_not_there_is_none(aws: Aws, functions: Functions) -> None:
    image = {"ImageConfig": {"Command": ["app.other"]}}
    aws.tells(Architectures=["arm64"], ImageConfigResponse=image, RevisionId="r1", Version="$LATEST")
    aws.refuses("get_function", "ResourceNotFoundException")

    live = functions.read("app")

    assert live is not None
    assert (live.digest, live.command, live.architecture) == (DIGEST, ("app.other",), "arm64")
    assert functions.read("gone") is None


def test_an_update_is_waited_for(aws: Aws, functions: Functions) -> None:
    wanted = {"FunctionName": "app", "ImageUri": URI, "RevisionId": "r1"}
    aws.stub.add_response("update_function_code", {}, wanted)
    aws.tells(LastUpdateStatus="InProgress")
    aws.tells(State="Pending", LastUpdateStatus="Successful")
    aws.tells(LastUpdateStatus="Successful", RevisionId="r2")

    assert functions.update_image("app", URI, LIVE, until=60).revision == "r2"
    assert aws.now == 0.25 + 0.375


def test_an_answer_from_before_an_update_is_not_believed(aws: Aws, functions: Functions) -> None:
    """Else a read that lags behind would be the change of another client, or a failure of before."""
    before = {"Code": {"ResolvedImageUri": OTHER}}
    aws.stub.add_response("update_function_code", {})
    settings = {"FunctionName": "app", "State": "Active", "RevisionId": "r1"}
    aws.stub.add_response("get_function", {"Configuration": settings, **before})
    aws.tells(LastUpdateStatus="Failed", RevisionId="r1")
    aws.tells(RevisionId="r2")

    assert functions.update_image("app", URI, LIVE, until=60).revision == "r2"


def test_a_version_that_lambda_does_not_know_yet_is_read_again(aws: Aws, functions: Functions) -> None:
    aws.stub.add_response("publish_version", {"Version": "7"})
    for _ in range(2):
        aws.refuses("get_function", "ResourceNotFoundException")
    aws.tells(Version="7")

    assert functions.publish("app", LIVE, until=60) == "7"


def test_a_function_that_stays_away_is_gone(aws: Aws, functions: Functions) -> None:
    for _ in range(3):
        aws.refuses("get_function", "ResourceNotFoundException")

    with pytest.raises(AwsError, match="the function app is gone"):
        functions.at_rest("app", until=60)


def test_an_update_under_way_is_let_pass_and_then_ours_is_made(aws: Aws, functions: Functions) -> None:
    command = {"ImageConfig": {"Command": ["a.b"]}}
    aws.refuses("update_function_configuration", "ResourceConflictException")
    aws.tells(LastUpdateStatus="Successful", RevisionId="r2")
    again = {"FunctionName": "app", "RevisionId": "r2", **command}
    aws.stub.add_response("update_function_configuration", {}, again)
    aws.tells(LastUpdateStatus="Successful", ImageConfigResponse=command)

    functions.update_command("app", ("a.b",), LIVE, until=60)

    assert aws.now == 2


def test_a_change_by_another_client_is_not_overwritten(aws: Aws, functions: Functions) -> None:
    aws.refuses("update_function_code", "ResourceConflictException")
    aws.tells(ImageConfigResponse={"ImageConfig": {"Command": ["theirs.handler"]}})

    with pytest.raises(AwsError, match="app was changed by another client"):
        functions.update_image("app", OTHER, LIVE, until=60)


def test_an_update_with_another_result_is_not_success(aws: Aws, functions: Functions) -> None:
    aws.stub.add_response("update_function_code", {})
    aws.tells()  # after the update of another client

    with pytest.raises(AwsError, match="app was changed by another client"):
        functions.update_image("app", OTHER, LIVE, until=60)


@pytest.mark.parametrize("state", ["Active", "Inactive"])
def test_a_version_is_waited_for_and_may_sleep(aws: Aws, functions: Functions, state: str) -> None:
    aws.stub.add_response("publish_version", {"Version": "3"}, {"FunctionName": "app", "RevisionId": "r1"})
    aws.tells(State="Pending")
    aws.tells(State=state)

    assert functions.publish("app", LIVE, until=60) == "3"
    assert aws.now == 0.25


@pytest.mark.parametrize(
    ("until", "told"),
    [(60, "app was changed by another client"), (0, "AWS answered ResourceConflictException")],
)
def test_a_function_that_cannot_be_changed_is_reported(
    aws: Aws, functions: Functions, until: float, told: str
) -> None:
    code = "PreconditionFailedException" if until else "ResourceConflictException"
    aws.refuses("update_function_code", code)
    aws.tells()

    with pytest.raises(AwsError, match=told):
        functions.update_image("app", OTHER, LIVE, until=until)


def test_an_accepted_update_that_failed_is_not_blamed_on_another_client(
    aws: Aws, functions: Functions
) -> None:
    aws.refuses("update_function_code", "PreconditionFailedException")
    aws.tells(LastUpdateStatus="Failed", LastUpdateStatusReason="InvalidImage")

    with pytest.raises(AwsError, match="the update of app failed: InvalidImage"):
        functions.update_image("app", OTHER, LIVE, until=60)


def test_an_update_that_fails_gives_its_reason(aws: Aws, functions: Functions) -> None:
    aws.tells(LastUpdateStatus="Failed", LastUpdateStatusReason="ImageAccessDenied")

    with pytest.raises(AwsError, match="the update of app failed: ImageAccessDenied"):
        functions.settled("app", until=60)


def test_waiting_ends(aws: Aws, functions: Functions) -> None:
    for _ in range(4):
        aws.tells(LastUpdateStatus="InProgress")

    with pytest.raises(AwsError, match="is still being updated"):
        functions.settled("app", until=1)


def test_aliases_are_reported_with_what_else_they_lead_to(aws: Aws, functions: Functions) -> None:
    told = {
        "Name": "live",
        "FunctionVersion": "7",
        "RevisionId": "r",
        "RoutingConfig": {"AdditionalVersionWeights": {"6": 0.1}},
    }
    aws.stub.add_response("list_aliases", {"Aliases": [told]})
    aws.stub.add_response(
        "update_alias",
        {"Name": "live", "FunctionVersion": "8"},
        {
            "FunctionName": "app",
            "Name": "live",
            "FunctionVersion": "8",
            "RevisionId": "r",
            "RoutingConfig": {"AdditionalVersionWeights": {}},
        },
    )

    alias = functions.aliases("app")["live"]
    functions.point("app", "live", "8", alias, until=60)

    assert (alias.version, dict(alias.routes)) == ("7", {"6": 0.1})
