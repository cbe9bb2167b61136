"""boto3 clients: their credentials, region, timeouts and retries."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NotRequired, Protocol, TypedDict, overload

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from mypy_boto3_codebuild import CodeBuildClient
    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_ecr_public import ECRPublicClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sts import STSClient

CONNECTIONS = 8
"""Requests that one client may have in flight."""
INVOKING: Final = "lambda-invoke"
"""The client that invokes functions: it waits as long as one may run, and never retries."""
PUBLIC: Final = "ecr-public"
"""The client of ECR Public. Its token is optional, so it has a short timeout and no retry."""
_LONGEST_CALL = 905.0  # seconds; a function may run for 900


class StackClient(Protocol):
    """The part of CloudFormation's client that is used here."""

    def get_paginator(self, operation: Literal["list_stack_resources"], /) -> StackPages:
        """Return what asks for page after page."""
        ...


class StackPages(Protocol):
    """Asks for the resources of a stack."""

    def paginate(self, *, StackName: str) -> Iterable[ResourcePage]:  # noqa: N803 - AWS' own name
        """Return the pages."""
        ...


class ResourcePage(TypedDict):
    """A page of a stack's resources."""

    StackResourceSummaries: list[StackResource]


class StackResource(TypedDict):
    """A resource of a stack. PhysicalResourceId: the name of a function; missing before it is made."""

    LogicalResourceId: str
    PhysicalResourceId: NotRequired[str]
    ResourceType: str


class Clients(Protocol):
    """Returns the boto3 client of a service."""

    @overload
    def __call__(self, service: Literal["cloudformation"], /) -> StackClient: ...
    @overload
    def __call__(self, service: Literal["codebuild"], /) -> CodeBuildClient: ...
    @overload
    def __call__(self, service: Literal["ecr"], /) -> ECRClient: ...
    @overload
    def __call__(self, service: Literal["ecr-public"], /) -> ECRPublicClient: ...
    @overload
    def __call__(self, service: Literal["lambda", "lambda-invoke"], /) -> LambdaClient: ...
    @overload
    def __call__(self, service: Literal["logs"], /) -> CloudWatchLogsClient: ...
    @overload
    def __call__(self, service: Literal["s3"], /) -> S3Client: ...
    @overload
    def __call__(self, service: Literal["sts"], /) -> STSClient: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Region, profile and role of requests. None leaves a value to AWS' own chain.

    role: the ARN of a role to assume first.
    """

    region: str | None = None
    profile: str | None = None
    role: str | None = None


def boto_clients(access: Access) -> Clients:
    """Return a function that makes each boto3 client once.

    Clients use AWS' standard retry mode with five attempts; `INVOKING` and `PUBLIC` make one. Their exception
    classes are made with them: botocore makes them at the first use, and two threads that are first would
    make two sets, of which ``except client.exceptions.X`` knows only one.
    """
    lock = threading.RLock()
    made: dict[str, BaseClient] = {}

    def client(service: str, /) -> Any:
        with lock:  # sessions are not thread-safe, clients are
            if service not in made:
                made[service] = _client(access, service)
                _ = made[service].exceptions
            return made[service]

    return client


def _client(access: Access, service: str) -> BaseClient:
    import boto3
    from botocore.config import Config

    calls, public = service == INVOKING, service == PUBLIC
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 1 if calls or public else 5},
        connect_timeout=5,
        read_timeout=_LONGEST_CALL if calls else 5 if public else 20,
        tcp_keepalive=True,
        max_pool_connections=CONNECTIONS,
    )
    session = boto3.Session(profile_name=access.profile, region_name=access.region)
    if access.role:
        taken = session.client("sts", config=config).assume_role(
            RoleArn=access.role, RoleSessionName="lamina"
        )["Credentials"]
        session = boto3.Session(
            aws_access_key_id=taken["AccessKeyId"],
            aws_secret_access_key=taken["SecretAccessKey"],
            aws_session_token=taken["SessionToken"],
            region_name=access.region or session.region_name,
        )
    made: BaseClient = session.client("lambda" if calls else service, config=config)  # type: ignore[call-overload]
    return made
