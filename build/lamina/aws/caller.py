"""Who asks: the account of the caller's credentials."""

from __future__ import annotations

from dataclasses import dataclass

from lamina.aws.clients import Clients
from lamina.aws.errors import aws_errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The caller's account, and the ARN of the user or the session of a role."""

    account: str
    arn: str


def read_caller(clients: Clients) -> Caller:
    """Return who the credentials belong to. Raises AwsError."""
    with aws_errors(service="sts"):
        answer = clients("sts").get_caller_identity()
    return Caller(account=answer["Account"], arn=answer["Arn"])
