from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from lamina.aws.cloudformation import functions_of
from lamina.errors import AwsError


def resource(kind: str, logical: str, name: str) -> dict[str, Any]:
    return {
        "LogicalResourceId": logical,
        **({"PhysicalResourceId": name} if name else {}),
        "ResourceType": kind,
        "ResourceStatus": "CREATE_COMPLETE",
        "LastUpdatedTimestamp": 0,
    }


@pytest.fixture
def stub() -> Stubber:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "eu-west-1"}
    stub = Stubber(boto3.client("cloudformation", **keys))  # type: ignore[call-overload]
    stub.activate()
    return stub


def test_the_functions_of_all_pages_have_their_names(stub: Stubber) -> None:
    one = [
        resource("AWS::Lambda::Function", "A", "shop-A-1"),
        resource("AWS::IAM::Role", "Role", "role"),
        resource("AWS::Lambda::Function", "Unmade", ""),
    ]
    more = [resource("AWS::Lambda::Function", "B", "shop-B-2")]
    asked = {"StackName": "shop"}
    stub.add_response("list_stack_resources", {"StackResourceSummaries": one, "NextToken": "t"}, asked)
    stub.add_response("list_stack_resources", {"StackResourceSummaries": more}, {**asked, "NextToken": "t"})

    assert functions_of(lambda _: stub.client, "shop") == {"A": "shop-A-1", "B": "shop-B-2"}


def test_a_missing_stack_is_none_and_a_refusal_is_an_error(stub: Stubber) -> None:
    stub.add_client_error("list_stack_resources", "ValidationError", "Stack with id shop does not exist")
    stub.add_client_error(
        "list_stack_resources",
        "AccessDenied",
        "User: x is not authorized to perform: cloudformation:ListStackResources",
    )

    assert functions_of(lambda _: stub.client, "shop") is None
    with pytest.raises(AwsError, match="cloudformation:ListStackResources"):
        functions_of(lambda _: stub.client, "shop")
