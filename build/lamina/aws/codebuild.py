"""CodeBuild, and what goes with it: a bucket for sources and results, the logs of builds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamina.aws.clients import Clients
from lamina.aws.errors import aws_errors
from lamina.errors import AwsError

SETUP = "invoke codebuild.setup"
IN_PROGRESS = "IN_PROGRESS"
_MOST_IDS = 100
_FAULT = 500
_PAGES = 200  # of a log in one look; the next look goes on


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A phase of a build. status: None while it goes on. seconds: None where AWS tells none."""

    name: str
    status: str | None
    seconds: int | None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogStream:
    """Where a build writes its log."""

    group: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A build as AWS sees it. status: ``IN_PROGRESS``, ``SUCCEEDED``, ``FAILED``, ``FAULT``…"""

    id: str
    status: str
    phases: tuple[Phase, ...] = ()
    log: LogStream | None = None
    link: str | None = None

    @property
    def ended(self) -> bool:
        """Whether it is over. ``buildComplete`` is not asked: not every double of AWS sets it."""
        return self.status != IN_PROGRESS


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch of builds. nodes: task of the graph -> the id of its build, of those that have begun.

    reasons: why it failed by itself, before any of its builds.
    """

    id: str
    status: str
    nodes: Mapping[str, str]
    reasons: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.status != IN_PROGRESS


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """What is to be started. source: ``bucket/key``. token: two starts with the same one are one build.

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
    """Who asks: the account's number, and the part of AWS, ``aws`` or ``aws-cn``."""

    account: str
    partition: str


class CodeBuild:
    """The service in one region. Raises AwsError, as all here."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    @property
    def region(self) -> str:
        """Where builds run."""
        with aws_errors(service="codebuild"):
            return str(self._client.meta.region_name)

    @property
    def _client(self) -> Any:
        return self._clients("codebuild")

    def caller(self) -> CodeBuildCaller:
        """Who we are."""
        with aws_errors(service="sts"):
            told = self._clients("sts").get_caller_identity()
        return CodeBuildCaller(account=str(told["Account"]), partition=str(told["Arn"]).split(":")[1])

    def projects(self, names: Iterable[str]) -> Mapping[str, Mapping[str, Any]]:
        """Those of the projects that exist, as AWS describes them."""
        with aws_errors(service="codebuild"):
            told = self._client.batch_get_projects(names=list(names))
        return {str(each["name"]): each for each in told.get("projects", ())}

    def create_project(self, definition: Mapping[str, Any]) -> None:
        """Make a project."""
        with aws_errors(str(definition["name"]), service="codebuild"):
            self._client.create_project(**definition)

    def update_project(self, name: str, changed: Mapping[str, Any]) -> None:
        """Give a project other values for some of its settings."""
        with aws_errors(name, service="codebuild"):
            self._client.update_project(name=name, **changed)

    def start(self, wanted: StartRequest) -> str:
        """Start a build; its id."""
        with self._of_project(wanted.project):
            told = self._client.start_build(
                **_overrides(wanted),
                timeoutInMinutesOverride=wanted.timeout,
            )
        return str(told["build"]["id"])

    def start_batch(self, wanted: StartRequest) -> str:
        """Start a batch; its id."""
        with self._of_project(wanted.project):
            told = self._client.start_build_batch(
                **_overrides(wanted),
                buildTimeoutInMinutesOverride=wanted.timeout,
                buildBatchConfigOverride={"timeoutInMins": wanted.timeout},
            )
        return str(told["buildBatch"]["id"])

    def builds(self, ids: Iterable[str]) -> Mapping[str, Build]:
        """How builds are doing."""
        wanted = list(ids)
        found: dict[str, Build] = {}
        for start in range(0, len(wanted), _MOST_IDS):
            with aws_errors(service="codebuild"):
                told = self._client.batch_get_builds(ids=wanted[start : start + _MOST_IDS])
            found |= {str(each["id"]): _build(each) for each in told.get("builds", ())}
        return found

    def batches(self, ids: Iterable[str]) -> Mapping[str, Batch]:
        """How batches are doing."""
        wanted = list(ids)
        if not wanted:
            return {}
        with aws_errors(service="codebuild"):
            told = self._client.batch_get_build_batches(ids=wanted)
        return {str(each["id"]): _batch(each) for each in told.get("buildBatches", ())}

    def stop(self, id: str) -> None:  # noqa: A002 - AWS' own word for it
        """Stop a build. One that has ended stays as it is."""
        with aws_errors(id, service="codebuild"):
            self._client.stop_build(id=id)

    def stop_batch(self, id: str) -> None:  # noqa: A002 - AWS' own word for it
        """Stop a batch and its builds."""
        with aws_errors(id, service="codebuild"):
            self._client.stop_build_batch(id=id)

    def log(self, stream: LogStream, token: str | None) -> tuple[list[str], str | None]:
        """The lines of a log since an earlier look, and the token for the next. No log yet has none."""
        lines: list[str] = []
        for _ in range(_PAGES):
            following = {"nextToken": token} if token else {}
            with aws_errors(stream.group, service="logs"):
                client = self._clients("logs")
                try:
                    told = client.get_log_events(
                        logGroupName=stream.group, logStreamName=stream.name, startFromHead=True, **following
                    )
                except client.exceptions.ResourceNotFoundException:
                    break
            lines += [line for each in told["events"] for line in str(each["message"]).splitlines()]
            if told["nextForwardToken"] == token:
                break
            token = told["nextForwardToken"]
        return lines, token

    def _of_project(self, name: str) -> AbstractContextManager[None]:
        return _expecting("CodeBuild project", name, "ResourceNotFoundException", service="codebuild")


class SourceBucket:
    """The bucket for what is sent to builds and what they hand back. Raises AwsError, as all here."""

    def __init__(self, name: str, clients: Clients) -> None:
        self.name = name
        self._clients = clients

    @property
    def _client(self) -> Any:
        return self._clients("s3")

    def exists(self) -> bool:
        """Whether it is there and ours to use."""
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
        """The region it is in, which AWS tells whoever asks; None where there may be no bucket."""
        from botocore.exceptions import ClientError

        with aws_errors(self.name, service="s3"):
            try:
                answer = self._client.head_bucket(Bucket=self.name)
            except ClientError as error:
                if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", _FAULT) >= _FAULT:
                    raise
                answer = error.response
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        found = answer.get("BucketRegion") or headers.get("x-amz-bucket-region")
        return str(found) if found else None

    def create(self, region: str) -> None:
        """Make it: private, as buckets are."""
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        with aws_errors(self.name, service="s3"):
            self._client.create_bucket(Bucket=self.name, **place)

    def rules(self) -> tuple[Mapping[str, Any], ...]:
        """The rules by which its objects expire."""
        from botocore.exceptions import ClientError

        with aws_errors(self.name, service="s3"):
            try:
                told = self._client.get_bucket_lifecycle_configuration(Bucket=self.name)
            except ClientError as error:
                if error.response["Error"]["Code"] == "NoSuchLifecycleConfiguration":
                    return ()
                raise
        return tuple(told.get("Rules", ()))

    def set_rules(self, rules: Iterable[Mapping[str, Any]]) -> None:
        """Put these rules in the place of those that it has."""
        with aws_errors(self.name, service="s3"):
            self._client.put_bucket_lifecycle_configuration(
                Bucket=self.name, LifecycleConfiguration={"Rules": list(rules)}
            )

    def has(self, key: str) -> bool:
        """Whether an object is there."""
        return key in self.keys(key)

    def keys(self, prefix: str) -> tuple[str, ...]:
        """The objects whose keys begin so; a thousand at most."""
        with self._of_bucket():
            told = self._client.list_objects_v2(Bucket=self.name, Prefix=prefix)
        return tuple(str(each["Key"]) for each in told.get("Contents", ()))

    def upload(self, file: Path, key: str) -> None:
        """Put a file there, in parts where it is large."""
        with self._of_bucket():
            from boto3.exceptions import S3UploadFailedError
            from botocore.exceptions import ClientError

            try:
                self._client.upload_file(str(file), self.name, key)
            except S3UploadFailedError as error:  # hides what AWS said in what it came from
                if isinstance(error.__context__, ClientError):
                    raise error.__context__ from None
                raise AwsError.of(f"the upload failed: {error}", where=f"s3://{self.name}") from None

    def download(self, key: str, file: Path) -> None:
        """Get an object; the file is there when it is whole."""
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
    """`aws_errors` that names the setup where what a call is about is not there. code: how AWS says so."""
    from botocore.exceptions import ClientError

    with aws_errors(about, service=service):
        try:
            yield
        except ClientError as error:
            if error.response["Error"]["Code"] != code:
                raise
            raise AwsError.of(f"there is no {what} {about}", where="AWS", hint=f"run: {SETUP}") from error


def _overrides(wanted: StartRequest) -> Mapping[str, Any]:
    return {
        "projectName": wanted.project,
        "sourceTypeOverride": "S3",
        "sourceLocationOverride": wanted.source,
        "buildspecOverride": wanted.buildspec,
        "environmentVariablesOverride": [
            {"name": name, "value": value, "type": "PLAINTEXT"} for name, value in wanted.environment.items()
        ],
        "idempotencyToken": wanted.token,
    }


def _build(told: Mapping[str, Any]) -> Build:
    logs = told.get("logs") or {}
    stream = None
    if logs.get("groupName") and logs.get("streamName"):
        stream = LogStream(group=logs["groupName"], name=logs["streamName"])
    return Build(
        id=str(told["id"]),
        status=str(told["buildStatus"]),
        phases=tuple(_phase(each) for each in told.get("phases") or ()),
        log=stream,
        link=logs.get("deepLink"),
    )


def _phase(told: Mapping[str, Any]) -> Phase:
    return Phase(
        name=str(told["phaseType"]),
        status=told.get("phaseStatus"),
        seconds=told.get("durationInSeconds"),
        reasons=tuple(_reasons(told)),
    )


def _batch(told: Mapping[str, Any]) -> Batch:
    summaries = {
        str(group["identifier"]): group.get("currentBuildSummary") or {}
        for group in told.get("buildGroups") or ()
    }
    return Batch(
        id=str(told["id"]),
        status=str(told["buildBatchStatus"]),
        nodes={
            name: each["arn"].partition(":build/")[2] for name, each in summaries.items() if "arn" in each
        },
        reasons=tuple(reason for phase in told.get("phases") or () for reason in _reasons(phase)),
    )


def _reasons(phase: Mapping[str, Any]) -> Iterator[str]:
    """Why a phase failed, in AWS' words."""
    for context in phase.get("contexts") or ():
        if message := " ".join(str(context.get("message") or "").split()):
            yield f"{context.get('statusCode') or ''}: {message}".removeprefix(": ")
