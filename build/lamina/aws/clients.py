"""boto3 clients: their credentials, region, timeouts and retries."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, NotRequired, Protocol, TypedDict, overload

from lamina.aws.errors import aws_errors
from lamina.aws.terminal import ask_at_terminal
from lamina.refs import REGION

if TYPE_CHECKING:
    import boto3
    from botocore.client import BaseClient
    from botocore.config import Config
    from botocore.credentials import DeferredRefreshableCredentials
    from botocore.session import Session as BotocoreSession
    from mypy_boto3_codebuild import CodeBuildClient
    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_ecr_public import ECRPublicClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sts import STSClient

    from lamina.aws.services import (
        CloudWatchClient,
        ContainerClient,
        EventsClient,
        KeysClient,
        ParametersClient,
        SchedulerClient,
    )

CONNECTIONS = 8
"""Requests that one client may have in flight."""
INVOKING: Final = "lambda-invoke"
"""The client that invokes functions: it waits as long as one may run, and never retries."""
PUBLIC: Final = "ecr-public"
"""The client of ECR Public. Its token is optional, so it has a short timeout and no retry."""
_GLOBAL = "-global"
"""The end of the names of regions of services that have none, such as ``aws-global``."""
SESSION_NAME = "lamina"
"""The name of sessions of assumed roles, as CloudTrail shows it."""
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
    def __call__(self, service: Literal["apprunner", "batch", "ecs", "sagemaker"], /) -> ContainerClient: ...
    @overload
    def __call__(self, service: Literal["cloudformation"], /) -> StackClient: ...
    @overload
    def __call__(self, service: Literal["cloudwatch"], /) -> CloudWatchClient: ...
    @overload
    def __call__(self, service: Literal["codebuild"], /) -> CodeBuildClient: ...
    @overload
    def __call__(self, service: Literal["ecr"], /) -> ECRClient: ...
    @overload
    def __call__(self, service: Literal["ecr-public"], /) -> ECRPublicClient: ...
    @overload
    def __call__(self, service: Literal["events"], /) -> EventsClient: ...
    @overload
    def __call__(self, service: Literal["kms"], /) -> KeysClient: ...
    @overload
    def __call__(self, service: Literal["lambda", "lambda-invoke"], /) -> LambdaClient: ...
    @overload
    def __call__(self, service: Literal["logs"], /) -> CloudWatchLogsClient: ...
    @overload
    def __call__(self, service: Literal["s3"], /) -> S3Client: ...
    @overload
    def __call__(self, service: Literal["scheduler"], /) -> SchedulerClient: ...
    @overload
    def __call__(self, service: Literal["ssm"], /) -> ParametersClient: ...
    @overload
    def __call__(self, service: Literal["sts"], /) -> STSClient: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Region, profile and role of requests. None leaves a value to AWS' own chain.

    role: the ARN of a role to assume first. external_id: what its trust policy may ask for.
    """

    region: str | None = None
    profile: str | None = None
    role: str | None = None
    external_id: str | None = None


def boto_clients(access: Access) -> Clients:
    """Return a function that makes each boto3 client once, with credentials of its own."""
    return AwsClients().open(access)


class AwsClients:
    """Makes boto3 clients that share their credentials. Thread-safe.

    A profile is read once and a role is assumed once, for all services and regions; so an MFA code is asked
    for once. Credentials that expire are renewed before they do, also of roles.

    Clients use AWS' standard retry mode with five attempts; `INVOKING` and `PUBLIC` make one. Their exception
    classes are made with them: botocore makes them at the first use, and two threads that are first would
    make two sets, of which ``except client.exceptions.X`` knows only one.

    Args:
        prompt: asks for an MFA code; raises EOFError if nobody can be asked.
        watch: receives each session before its first client is made.
    """

    def __init__(
        self,
        *,
        prompt: Callable[[str], str] = ask_at_terminal,
        watch: Callable[[BotocoreSession], None] = lambda _: None,
    ) -> None:
        self._prompt = prompt
        self._watch = watch
        self._lock = threading.RLock()  # sessions are not thread-safe, clients are
        self._sessions: dict[Access, boto3.Session] = {}
        self._made: dict[tuple[Access, str], BaseClient] = {}

    def open(self, access: Access) -> Clients:
        """Return a function that makes each client of a region and a role once."""

        def client(service: str, /) -> Any:
            with self._lock:
                if (access, service) not in self._made:
                    made = self._client(access, service)
                    _ = made.exceptions
                    self._made[access, service] = made
                return self._made[access, service]

        return client

    def _client(self, access: Access, service: str) -> BaseClient:
        from botocore.exceptions import InvalidRegionError

        calls, public = service == INVOKING, service == PUBLIC
        made: BaseClient = self._session(access).client(  # type: ignore[call-overload]
            "lambda" if calls else service,
            region_name=access.region,
            config=_config(
                attempts=1 if calls or public else 5,
                read_timeout=_LONGEST_CALL if calls else 5 if public else 20,
            ),
        )
        region = made.meta.region_name
        if region and not REGION.fullmatch(region) and not region.endswith(_GLOBAL):
            raise InvalidRegionError(region_name=region)
        return made

    def _session(self, access: Access) -> boto3.Session:
        """Return the session of a profile or a role, whatever the region."""
        identity = replace(access, region=None)
        if identity not in self._sessions:
            self._sessions[identity] = self._of_role(access) if access.role else self._of_profile(access)
        return self._sessions[identity]

    def _of_profile(self, access: Access) -> boto3.Session:
        import boto3
        from botocore.session import Session

        made = Session(profile=access.profile)
        made.get_component("credential_provider").get_provider("assume-role")._prompter = self._prompt
        self._watch(made)
        return boto3.Session(botocore_session=made)

    def _of_role(self, access: Access) -> boto3.Session:
        """Return a session with the credentials of a role, which is assumed at the first request."""
        import boto3
        from botocore.credentials import (
            AssumeRoleCredentialFetcher,
            CredentialResolver,
            DeferredRefreshableCredentials,
        )
        from botocore.exceptions import NoCredentialsError
        from botocore.session import Session

        own = self._session(Access(profile=access.profile))
        source = own.get_credentials()
        if source is None:
            raise NoCredentialsError
        fetcher = AssumeRoleCredentialFetcher(
            partial(own.client, region_name=access.region, config=_config()),
            source,
            str(access.role),
            extra_args={
                "RoleSessionName": SESSION_NAME,
                **({"ExternalId": access.external_id} if access.external_id else {}),
            },
        )

        def assume() -> Mapping[str, str]:
            with aws_errors(access.role, service="sts"):
                return fetcher.fetch_credentials()

        made = Session(profile=access.profile)
        credentials = DeferredRefreshableCredentials(refresh_using=assume, method=_Assumed.METHOD)
        made.register_component("credential_provider", CredentialResolver([_Assumed(credentials)]))  # type: ignore[list-item]
        self._watch(made)
        return boto3.Session(botocore_session=made)


class _Assumed:
    """The only provider of credentials of a session: those of a role."""

    METHOD = "assume-role"

    def __init__(self, credentials: DeferredRefreshableCredentials) -> None:
        self._credentials = credentials

    def load(self) -> DeferredRefreshableCredentials:
        """Return the credentials."""
        return self._credentials


def _config(*, attempts: int = 5, read_timeout: float = 20) -> Config:
    from botocore.config import Config

    return Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=5,
        read_timeout=read_timeout,
        tcp_keepalive=True,
        max_pool_connections=CONNECTIONS,
    )
