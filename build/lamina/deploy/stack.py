"""The stack of a deployment: its account, and who may deploy to it, checked before anything is touched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from lamina.aws.caller import Caller, read_caller
from lamina.aws.clients import Access
from lamina.aws.lambda_ import Functions
from lamina.declare.functions import Function
from lamina.declare.stacks import Stack
from lamina.errors import AwsError, ConfigError, LaminaError, Problem
from lamina.flow.session import Session


class Connect(Protocol):
    """Returns a Lambda client for each region; see `clients_of`."""

    def __call__(self, session: Session, functions: Iterable[Function], /) -> dict[str | None, Functions]:
        """Return the clients by region."""
        ...


def clients_of(session: Session, functions: Iterable[Function]) -> dict[str | None, Functions]:
    """Return a Lambda client for each region; None: that of the stack, the registry, or AWS' default."""
    regions = {each.region for each in functions}
    return {region: Functions(session.aws(access_of(session, region))) for region in regions}


def access_of(session: Session, region: str | None = None) -> Access:
    """Return the region and the role of a stack's functions."""
    stack = session.project.stack
    return Access(
        region=region or stack.region or session.project.ecr.region,
        role=stack.role,
        external_id=stack.external_id,
    )


def check_caller(session: Session) -> None:
    """Raise AwsError if the credentials, or a declared function, belong to another account than the stack."""
    stack = session.project.stack
    if stack.account is None:
        return
    caller = read_caller(session.aws(access_of(session)))
    functions = [each for spec in session.project.images.values() for each in spec.functions]
    AwsError.check(foreign(stack, caller, functions))


def who_deploys(session: Session) -> str | None:
    """Return the ARN of the caller; None if AWS does not say."""
    try:
        return read_caller(session.aws(access_of(session))).arn
    except LaminaError:
        return None


def foreign(stack: Stack, caller: Caller, functions: Iterable[Function]) -> Iterator[Problem]:
    """Yield what belongs to another account than a stack: the credentials, and declared functions."""
    if caller.account != stack.account:
        yield Problem(
            what=f"the credentials are of account {caller.account} ({caller.arn}), and stack {stack.name} is "
            f"in {stack.account}",
            where=stack.source,
            hint="use credentials of that account (AWS_PROFILE), or set role in "
            f"[tool.lamina.stacks.{stack.name}]",
        )
    for each in functions:
        if each.account not in {None, stack.account}:
            yield Problem(
                what=f"the function {each} is in another account than stack {stack.name} ({stack.account})",
                where=stack.source,
                hint=f"name its own functions in [tool.lamina.stacks.{stack.name}.images.<image>]",
            )


def require_approval(session: Session, approved: str | None) -> None:
    """Raise ConfigError if the stack wants an approval and another stack, or none, was approved."""
    stack = session.project.stack
    if approved not in {None, stack.name} or (stack.approval and approved is None):
        raise ConfigError.of(
            f"stack {stack.name} is changed only with --approve {stack.name}"
            if approved is None
            else f"--approve {approved} is not for stack {stack.name}",
            where=stack.source or "--approve",
            hint=f"see what would change (--dry-run), then add --approve {stack.name}",
        )
