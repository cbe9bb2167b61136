"""CodeBuild's API, with the logs of builds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict, cast

from lamina.aws.clients import Clients
from lamina.aws.errors import aws_errors
from lamina.errors import AwsError
from lamina.json_data import JsonTable

if TYPE_CHECKING:
    from mypy_boto3_codebuild import CodeBuildClient
    from mypy_boto3_codebuild.type_defs import (
        BuildPhaseTypeDef,
        BuildTypeDef,
        CreateProjectInputTypeDef,
        StartBuildInputTypeDef,
        UpdateProjectInputTypeDef,
    )

SETUP = "invoke codebuild.setup"
IN_PROGRESS = "IN_PROGRESS"
_MOST_IDS = 100
_PAGES = 200  # of a log in one call; the next call continues


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A phase of a build.

    Attributes:
        status: None while it runs.
        seconds: None when AWS does not report them.
    """

    name: str
    status: str | None
    seconds: int | None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogStream:
    """The CloudWatch log stream of a build."""

    group: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A build as AWS reports it. status: ``IN_PROGRESS``, ``SUCCEEDED``, ``FAILED``, ``FAULT``…"""

    id: str
    status: str
    phases: tuple[Phase, ...] = ()
    log: LogStream | None = None
    link: str | None = None

    @property
    def ended(self) -> bool:
        """Whether the build has ended. ``buildComplete`` is not used: some test doubles of AWS omit it."""
        return self.status != IN_PROGRESS


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """A build to start.

    Attributes:
        source: ``bucket/key``.
        token: idempotency token, two starts with the same one are one build.
        timeout: minutes.
    """

    project: str
    source: str
    buildspec: str
    environment: Mapping[str, str]
    token: str
    timeout: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeBuildCaller:
    """The caller's account number and partition, ``aws`` or ``aws-cn``."""

    account: str
    partition: str


class CodeBuild:
    """CodeBuild in one region. All methods raise AwsError."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    @property
    def region(self) -> str:
        """The region in which builds run."""
        with aws_errors(service="codebuild"):
            return str(self._client.meta.region_name)

    @property
    def _client(self) -> CodeBuildClient:
        return self._clients("codebuild")

    def caller(self) -> CodeBuildCaller:
        """Return the caller's identity (STS)."""
        with aws_errors(service="sts"):
            answer = self._clients("sts").get_caller_identity()
        return CodeBuildCaller(account=str(answer["Account"]), partition=str(answer["Arn"]).split(":")[1])

    def projects(self, names: Iterable[str]) -> Mapping[str, JsonTable]:
        """Return the projects that exist, by name, as AWS describes them."""
        with aws_errors(service="codebuild"):
            answer = self._client.batch_get_projects(names=list(names))
        return {str(each["name"]): cast("JsonTable", each) for each in answer.get("projects", ())}

    def create_project(self, definition: JsonTable) -> None:
        """Create a project."""
        with aws_errors(str(definition["name"]), service="codebuild"):
            self._client.create_project(**cast("CreateProjectInputTypeDef", definition))

    def update_project(self, name: str, changed: JsonTable) -> None:
        """Change some settings of a project."""
        with aws_errors(name, service="codebuild"):
            self._client.update_project(**cast("UpdateProjectInputTypeDef", {"name": name, **changed}))

    def start(self, request: StartRequest) -> str:
        """Start a build and return its id."""
        with self._of_project(request.project):
            answer = self._client.start_build(**_overrides(request))
        return str(answer["build"]["id"])

    def builds(self, ids: Iterable[str]) -> Mapping[str, Build]:
        """Return the state of builds by id."""
        wanted = list(ids)
        found: dict[str, Build] = {}
        for start in range(0, len(wanted), _MOST_IDS):
            with aws_errors(service="codebuild"):
                answer = self._client.batch_get_builds(ids=wanted[start : start + _MOST_IDS])
            found |= {str(each["id"]): _build(each) for each in answer.get("builds", ())}
        return found

    def stop(self, id: str) -> None:  # noqa: A002 - AWS' own name
        """Stop a build. A build that has ended is left as it is."""
        with aws_errors(id, service="codebuild"):
            self._client.stop_build(id=id)

    def log(self, stream: LogStream, token: str | None) -> tuple[list[str], str | None]:
        """Return the lines of a log since ``token``, and the token for the next call.

        A log that does not exist yet has no lines.
        """
        lines: list[str] = []
        for _ in range(_PAGES):
            following: _NextPage = {"nextToken": token} if token else {}
            with aws_errors(stream.group, service="logs"):
                client = self._clients("logs")
                try:
                    answer = client.get_log_events(
                        logGroupName=stream.group, logStreamName=stream.name, startFromHead=True, **following
                    )
                except client.exceptions.ResourceNotFoundException:
                    break
            lines += [line for each in answer["events"] for line in str(each["message"]).splitlines()]
            if answer["nextForwardToken"] == token:
                break
            token = answer["nextForwardToken"]
        return lines, token

    def _of_project(self, name: str) -> AbstractContextManager[None]:
        return expecting("CodeBuild project", name, "ResourceNotFoundException", service="codebuild")


@contextmanager
def expecting(what: str, about: str, code: str, *, service: str) -> Iterator[None]:
    """Apply `aws_errors`, and name the setup command when the resource is missing.

    Args:
        what: the kind of resource.
        about: its name.
        code: AWS' error code for a missing one.
        service: see `aws_errors`.
    """
    from botocore.exceptions import ClientError

    with aws_errors(about, service=service):
        try:
            yield
        except ClientError as error:
            if error.response["Error"]["Code"] != code:
                raise
            raise AwsError.of(f"there is no {what} {about}", where="AWS", hint=f"run: {SETUP}") from error


class _NextPage(TypedDict, total=False):
    nextToken: str


def _overrides(request: StartRequest) -> StartBuildInputTypeDef:
    return {
        "projectName": request.project,
        "sourceTypeOverride": "S3",
        "sourceLocationOverride": request.source,
        "buildspecOverride": request.buildspec,
        "environmentVariablesOverride": [
            {"name": name, "value": value, "type": "PLAINTEXT"} for name, value in request.environment.items()
        ],
        "idempotencyToken": request.token,
        "timeoutInMinutesOverride": request.timeout,
    }


def _build(document: BuildTypeDef) -> Build:
    logs = document.get("logs") or {}
    stream = None
    if logs.get("groupName") and logs.get("streamName"):
        stream = LogStream(group=logs["groupName"], name=logs["streamName"])
    return Build(
        id=str(document["id"]),
        status=str(document["buildStatus"]),
        phases=tuple(_phase(each) for each in document.get("phases") or ()),
        log=stream,
        link=logs.get("deepLink"),
    )


def _phase(document: BuildPhaseTypeDef) -> Phase:
    return Phase(
        name=str(document["phaseType"]),
        status=document.get("phaseStatus"),
        seconds=document.get("durationInSeconds"),
        reasons=tuple(_reasons(document)),
    )


def _reasons(phase: BuildPhaseTypeDef) -> Iterator[str]:
    """Yield why a phase failed, in AWS' words."""
    for context in phase.get("contexts") or ():
        if message := " ".join(str(context.get("message") or "").split()):
            yield f"{context.get('statusCode') or ''}: {message}".removeprefix(": ")
