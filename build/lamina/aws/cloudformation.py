"""CloudFormation stacks: the names of the functions in them."""

from __future__ import annotations

from collections.abc import Mapping

from lamina.aws.clients import Clients
from lamina.aws.errors import aws_errors

_FUNCTION = "AWS::Lambda::Function"
_MISSING = "does not exist"


def functions_of(clients: Clients, stack: str) -> Mapping[str, str] | None:
    """Return logical id -> name of each function of a stack that is deployed; None if there is no such stack.

    Raises AwsError if CloudFormation does not answer or refuses.
    """
    from botocore.exceptions import ClientError

    with aws_errors(stack, service="cloudformation"):
        try:
            pages = clients("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
            found = [each for page in pages for each in page["StackResourceSummaries"]]
        except ClientError as error:
            if _MISSING in str(error.response.get("Error", {}).get("Message")):
                return None
            raise
    return {
        each["LogicalResourceId"]: each["PhysicalResourceId"]
        for each in found
        if each["ResourceType"] == _FUNCTION and each.get("PhysicalResourceId")
    }
