from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber

from lamina.aws.clients import Access
from lamina.aws.lambda_usage import Usage, read_usage
from lamina.errors import AwsError

DIGESTS = ["sha256:" + str(number) * 64 for number in range(4)]
HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app"
ROLE = "arn:aws:iam::123456789012:role/gc"


class Aws:
    """Clients that answer from a script, in its order."""

    def __init__(self) -> None:
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "eu-west-1"}
        once = Config(retries={"total_max_attempts": 1})
        self.clients = {name: boto3.client(name, config=once, **keys) for name in ("lambda", "sts")}  # type: ignore[call-overload]
        self.stubs = {name: Stubber(client) for name, client in self.clients.items()}
        told = {"Account": "123456789012", "UserId": "u", "Arn": "arn:aws:sts::123456789012:user/x"}
        self.stubs["sts"].add_response("get_caller_identity", told, {})
        for stub in self.stubs.values():
            stub.activate()

    def __call__(self, service: str) -> Any:
        return self.clients[service]

    def functions(self, *names: str, kind: str = "Image", marker: str = "", more: str = "") -> None:
        told = [{"FunctionName": name, "PackageType": kind} for name in names]
        answer = {"Functions": told, **({"NextMarker": more} if more else {})}
        self.stubs["lambda"].add_response("list_functions", answer, {"Marker": marker} if marker else {})

    def versions(self, name: str, *versions: str, marker: str = "", more: str = "") -> None:
        answer = {
            "Versions": [{"Version": each} for each in versions],
            **({"NextMarker": more} if more else {}),
        }
        asked = {"FunctionName": name, **({"Marker": marker} if marker else {})}
        self.stubs["lambda"].add_response("list_versions_by_function", answer, asked)

    def runs(self, name: str, version: str, settings: dict[str, Any] | None = None, **code: str) -> None:
        asked = {"FunctionName": name, "Qualifier": version}
        answer = {"Code": code, "Configuration": settings or {}}
        self.stubs["lambda"].add_response("get_function", answer, asked)


@pytest.fixture
def aws() -> Iterator[Aws]:
    made = Aws()
    yield made
    made.stubs["lambda"].assert_no_pending_responses()


def read(aws: Aws) -> Usage:
    return read_usage(Access(), clients=aws, threads=1)  # a script has an order


def test_every_version_on_every_page_is_asked_for_its_image(aws: Aws) -> None:
    aws.functions("one", more="m")
    aws.functions("zipped", kind="Zip", marker="m")
    aws.versions("one", "$LATEST", more="n")
    aws.versions("one", "1", marker="n")
    aws.runs("one", "$LATEST", ImageUri=f"{HOST}:sha-1", ResolvedImageUri=f"{HOST}@{DIGESTS[1]}")
    aws.runs("one", "1", ImageUri=f"{HOST}@{DIGESTS[2]}")

    usage = read(aws)

    assert (str(usage), usage.functions) == ("account 123456789012, eu-west-1", 2)
    assert {str(each): each.digest for each in usage.deployed} == {
        "one:$LATEST": DIGESTS[1],
        "one:1": DIGESTS[2],
    }


def test_a_version_says_when_and_by_whom_it_was_published_and_whether_it_may_run_unnamed(aws: Aws) -> None:
    aws.functions("one")
    aws.versions("one", "1", "2")
    when = "2026-01-02T03:04:05.000+0000"
    settings = {"Description": "by hand", "LastModified": when, "DurableConfig": {"ExecutionTimeout": 60}}
    aws.runs("one", "1", settings, ResolvedImageUri=f"{HOST}@{DIGESTS[1]}")
    aws.runs("one", "2", ImageUri=f"{HOST}:sha-1", ResolvedImageUri=f"{HOST}@{DIGESTS[2]}")

    first, second = read(aws).deployed

    assert (first.repository, first.description, first.published) == (HOST, "by hand", when)
    assert "durable executions" in first.special
    assert (second.repository, second.description, second.published, second.special) == (HOST, "", None, "")


def test_a_function_that_is_deleted_meanwhile_runs_nothing(aws: Aws) -> None:
    aws.functions("gone", "one")
    aws.stubs["lambda"].add_client_error("list_versions_by_function", "ResourceNotFoundException")
    aws.versions("one", "$LATEST", "1")
    aws.stubs["lambda"].add_client_error("get_function", "ResourceNotFoundException")
    aws.runs("one", "1", ResolvedImageUri=f"{HOST}@{DIGESTS[1]}")

    assert [str(each) for each in read(aws).deployed] == ["one:1"]


def test_a_version_that_does_not_tell_its_image_stops_everything(aws: Aws) -> None:
    aws.functions("one")
    aws.versions("one", "$LATEST")
    aws.runs("one", "$LATEST", ImageUri=f"{HOST}:latest")

    with pytest.raises(AwsError, match=r"one:\$LATEST runs"):
        read(aws)


@pytest.mark.parametrize("operation", ["list_functions", "list_versions_by_function", "get_function"])
def test_a_right_that_is_missing_is_named(aws: Aws, operation: str) -> None:
    if operation != "list_functions":
        aws.functions("one")
    if operation == "get_function":
        aws.versions("one", "1")
    aws.stubs["lambda"].add_client_error(operation, "AccessDeniedException", "no")

    with pytest.raises(AwsError, match="not allowed: lambda:") as caught:
        read(aws)
    assert caught.value.exit_code == 8


def test_a_role_that_may_not_be_taken_is_reported(aws: Aws) -> None:
    def clients(service: str) -> NoReturn:
        from botocore.exceptions import ClientError

        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "AssumeRole")

    with pytest.raises(AwsError, match=f"not allowed: sts:AssumeRole on {ROLE}"):
        read_usage(Access(role=ROLE), clients=clients)


def test_a_region_that_cannot_be_reached_is_reported(aws: Aws) -> None:
    def away(**_: object) -> NoReturn:
        raise EndpointConnectionError(endpoint_url="https://lambda.eu-west-9.amazonaws.com")

    aws.stubs["lambda"].deactivate()
    aws.clients["lambda"].meta.events.register("before-send.lambda.*", away)

    with pytest.raises(AwsError, match="AWS cannot be reached") as caught:
        read(aws)
    assert "region" in (caught.value.problems[0].hint or "")
