"""CodeBuild's API, with the S3 bucket for sources and results and the logs of builds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
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
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.literals import BucketLocationConstraintType
    from mypy_boto3_s3.type_defs import LifecycleRuleTypeDef

SETUP = "invoke codebuild.setup"
IN_PROGRESS = "IN_PROGRESS"
_MOST_IDS = 100
_FAULT = 500
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
        return _expecting("CodeBuild project", name, "ResourceNotFoundException", service="codebuild")


class SourceBucket:
    """The S3 bucket for sources of builds and their results. All methods raise AwsError."""

    def __init__(self, name: str, clients: Clients) -> None:
        self.name = name
        self._clients = clients

    @property
    def _client(self) -> S3Client:
        return self._clients("s3")

    def exists(self) -> bool:
        """Whether the bucket exists. Raises AwsError when the caller may not list it."""
        from botocore.exceptions import ClientError

        with aws_errors(self.name, service="s3"):
            try:
                self._client.list_objects_v2(Bucket=self.name, MaxKeys=1)
            except ClientError as error:
                if error.response["Error"]["Code"] == "NoSuchBucket":
                    return False
                raise
        return True

    def region(self) -> str | None:
        """Return the bucket's region, which AWS reports to every caller; None when it is not known."""
        from botocore.exceptions import ClientError

        with aws_errors(self.name, service="s3"):
            try:
                answer = self._client.head_bucket(Bucket=self.name)
                found, headers = answer.get("BucketRegion"), answer["ResponseMetadata"].get("HTTPHeaders", {})
            except ClientError as error:
                metadata = error.response.get("ResponseMetadata")
                if metadata is None or metadata.get("HTTPStatusCode", _FAULT) >= _FAULT:
                    raise
                found, headers = None, metadata.get("HTTPHeaders", {})
        return found or headers.get("x-amz-bucket-region") or None

    def create(self, region: str) -> None:
        """Create the bucket, private by AWS' default."""
        with aws_errors(self.name, service="s3"):
            if region == "us-east-1":  # S3 refuses it as a location
                self._client.create_bucket(Bucket=self.name)
            else:
                location = cast("BucketLocationConstraintType", region)
                self._client.create_bucket(
                    Bucket=self.name, CreateBucketConfiguration={"LocationConstraint": location}
                )

    def rules(self) -> tuple[JsonTable, ...]:
        """Return the bucket's lifecycle rules."""
        from botocore.exceptions import ClientError

        with aws_errors(self.name, service="s3"):
            try:
                answer = self._client.get_bucket_lifecycle_configuration(Bucket=self.name)
            except ClientError as error:
                if error.response["Error"]["Code"] == "NoSuchLifecycleConfiguration":
                    return ()
                raise
        return tuple(cast("JsonTable", each) for each in answer.get("Rules", ()))

    def set_rules(self, rules: Iterable[JsonTable]) -> None:
        """Replace the bucket's lifecycle rules."""
        with aws_errors(self.name, service="s3"):
            self._client.put_bucket_lifecycle_configuration(
                Bucket=self.name,
                LifecycleConfiguration={"Rules": [cast("LifecycleRuleTypeDef", each) for each in rules]},
            )

    def has(self, key: str) -> bool:
        """Whether an object exists."""
        return key in self.keys(key)

    def keys(self, prefix: str) -> tuple[str, ...]:
        """Return the keys that begin with ``prefix``, at most a thousand."""
        with self._of_bucket():
            answer = self._client.list_objects_v2(Bucket=self.name, Prefix=prefix)
        return tuple(str(each["Key"]) for each in answer.get("Contents", ()))

    def upload(self, file: Path, key: str) -> None:
        """Upload a file, in parts when it is large."""
        with self._of_bucket():
            from boto3.exceptions import S3UploadFailedError
            from botocore.exceptions import ClientError

            try:
                self._client.upload_file(str(file), self.name, key)
            except S3UploadFailedError as error:  # AWS' own error is its context
                if isinstance(error.__context__, ClientError):
                    raise error.__context__ from None
                raise AwsError.of(f"the upload failed: {error}", where=f"s3://{self.name}") from None

    def download(self, key: str, file: Path) -> None:
        """Download an object; the file appears only once it is complete."""
        from boto3.exceptions import Boto3Error

        partial = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            with self._of_bucket():
                self._client.download_file(self.name, key, str(partial))
            partial.replace(file)
        except Boto3Error as error:
            raise AwsError.of(f"the download failed: {error}", where=f"s3://{self.name}/{key}") from None
        finally:
            partial.unlink(missing_ok=True)

    def _of_bucket(self) -> AbstractContextManager[None]:
        return _expecting("bucket", self.name, "NoSuchBucket", service="s3")


@contextmanager
def _expecting(what: str, about: str, code: str, *, service: str) -> Iterator[None]:
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
