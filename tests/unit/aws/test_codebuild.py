from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from lamina.aws.codebuild import CodeBuild, LogStream, Phase, StartRequest
from lamina.aws.source_bucket import SourceBucket
from lamina.errors import AwsError

from .conftest import ScriptedAws, client_error

WANTED = StartRequest(
    project="lamina-amd64",
    source="bucket/key.zip",
    buildspec="buildspec.yml",
    environment={"LAMINA_RESULTS": "s3://bucket/results/"},
    token="run-1",
    timeout=60,
)


def test_a_build_is_started_from_its_source_once() -> None:
    aws = ScriptedAws({"start_build": [{"build": {"id": "lamina-amd64:1"}}]})

    assert CodeBuild(aws).start(WANTED) == "lamina-amd64:1"
    ((_, words),) = aws.asked
    assert words == {
        "projectName": "lamina-amd64",
        "sourceTypeOverride": "S3",
        "sourceLocationOverride": "bucket/key.zip",
        "buildspecOverride": "buildspec.yml",
        "environmentVariablesOverride": [
            {"name": "LAMINA_RESULTS", "value": "s3://bucket/results/", "type": "PLAINTEXT"}
        ],
        "idempotencyToken": "run-1",
        "timeoutInMinutesOverride": 60,
    }


def test_a_build_is_read_as_far_as_it_has_come() -> None:
    young = {"id": "p:1", "buildStatus": "IN_PROGRESS", "phases": [{"phaseType": "QUEUED"}]}
    context = {"statusCode": "COMMAND_EXECUTION_ERROR", "message": "exit\nstatus 1"}
    old = {
        "id": "p:2",
        "buildStatus": "FAILED",
        "buildComplete": False,
        "phases": [
            {"phaseType": "BUILD", "phaseStatus": "FAILED", "durationInSeconds": 3, "contexts": [context]}
        ],
        "logs": {"groupName": "g", "streamName": "s", "deepLink": "https://l"},
    }
    found = CodeBuild(ScriptedAws({"batch_get_builds": [{"builds": [young, old]}]})).builds(
        ["p:1", "p:2", "p:3"]
    )

    assert set(found) == {"p:1", "p:2"}
    assert (found["p:1"].ended, found["p:1"].log, found["p:1"].phases[0].status) == (False, None, None)
    assert found["p:2"].ended
    assert found["p:2"].log == LogStream(group="g", name="s")
    assert found["p:2"].phases == (
        Phase(name="BUILD", status="FAILED", seconds=3, reasons=("COMMAND_EXECUTION_ERROR: exit status 1",)),
    )


def test_a_log_is_read_on_from_where_the_last_look_ended() -> None:
    pages = {
        None: {"events": [{"message": "one\ntwo\n"}], "nextForwardToken": "f/1"},
        "f/1": {"events": [{"message": "three\n"}], "nextForwardToken": "f/2"},
        "f/2": {"events": [], "nextForwardToken": "f/2"},
    }
    aws = ScriptedAws({"get_log_events": [lambda **words: pages[words.get("nextToken")]]})
    stream = LogStream(group="g", name="s")

    assert CodeBuild(aws).log(stream, None) == (["one", "two", "three"], "f/2")
    assert CodeBuild(aws).log(stream, "f/2") == ([], "f/2")
    young = ScriptedAws()
    young.answers["get_log_events"] = [young.exceptions.ResourceNotFoundException()]
    assert CodeBuild(young).log(stream, None) == ([], None)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (
            "ResourceNotFoundException",
            "there is no CodeBuild project lamina-amd64\n  next: run: invoke codebuild.setup",
        ),
        ("AccessDeniedException", "not allowed: codebuild:StartBuild on lamina-amd64"),
        ("ThrottlingException", "AWS throttles"),
        ("ExpiredTokenException", "the AWS credentials have expired"),
        ("AccountLimitExceededException", "AWS answered AccountLimitExceededException: queue"),
    ],
)
def test_a_refused_start_says_what_to_do(code: str, told: str) -> None:
    aws = ScriptedAws({"start_build": [client_error(code, "StartBuild", "queue")]})
    with pytest.raises(AwsError) as caught:
        CodeBuild(aws).start(WANTED)

    assert told in str(caught.value)
    assert caught.value.exit_code == 8


def test_a_bucket_that_is_not_there_is_distinguished_from_one_that_is_not_ours() -> None:
    def bucket(code: str) -> SourceBucket:
        return SourceBucket("b", ScriptedAws({"list_objects_v2": [client_error(code, "ListObjectsV2")]}))

    assert bucket("NoSuchBucket").exists() is False
    with pytest.raises(AwsError, match=r"there is no bucket b\n.*codebuild\.setup"):
        bucket("NoSuchBucket").has("key")
    with pytest.raises(AwsError, match="not allowed: s3:ListBucket on b"):
        bucket("AccessDenied").exists()


@pytest.mark.parametrize(("status", "region"), [(200, "eu-west-1"), (403, "us-east-1"), (404, None)])
def test_a_bucket_tells_its_region_whoever_asks(status: int, region: str | None) -> None:
    headers = {"x-amz-bucket-region": region} if region else {}
    told: Any = {"ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers}}
    answer = {**told, "BucketRegion": region} if status == 200 else ClientError(told, "HeadBucket")

    assert SourceBucket("b", ScriptedAws({"head_bucket": [answer]})).region() == region


def test_an_upload_that_is_refused_says_what_aws_said(tmp_path: object) -> None:
    from boto3.exceptions import S3UploadFailedError

    def refuse(*_: object, **__: object) -> None:
        try:
            raise client_error("AccessDenied", "PutObject", "no")
        except Exception as error:
            raise S3UploadFailedError("Failed to upload x: An error occurred") from error

    aws = ScriptedAws()
    aws.upload_file = refuse  # type: ignore[attr-defined]
    with pytest.raises(AwsError, match="not allowed: s3:PutObject on b"):
        SourceBucket("b", aws).upload(tmp_path, "key")  # type: ignore[arg-type]


def test_a_bucket_is_made_where_builds_run() -> None:
    aws = ScriptedAws({"create_bucket": [{}]})
    SourceBucket("b", aws).create("eu-west-1")
    SourceBucket("b", aws).create("us-east-1")

    assert [words for _, words in aws.asked] == [
        {"Bucket": "b", "CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}},
        {"Bucket": "b"},
    ]


def test_a_bucket_without_encryption_rule_or_tags_has_none() -> None:
    missing = {
        "get_bucket_encryption": [
            client_error("ServerSideEncryptionConfigurationNotFoundError", "GetBucketEncryption")
        ],
        "get_bucket_tagging": [client_error("NoSuchTagSet", "GetBucketTagging")],
    }
    bucket = SourceBucket("b", ScriptedAws(missing))

    assert (bucket.encryption(), bucket.tags()) == ({}, {})


def test_what_others_set_beside_the_rules_of_a_bucket_stays() -> None:
    theirs = {"ID": "theirs", "Status": "Enabled"}
    aws = ScriptedAws(
        {
            "get_bucket_lifecycle_configuration": [
                {"Rules": [theirs], "TransitionDefaultMinimumObjectSize": "varies_by_storage_class"},
                client_error("NoSuchLifecycleConfiguration", "GetBucketLifecycleConfiguration"),
            ],
            "put_bucket_lifecycle_configuration": [{}],
        }
    )
    bucket, own = SourceBucket("b", aws), {"ID": "lamina", "Status": "Enabled"}
    bucket.change_rules(lambda rules: [*rules, own])
    bucket.change_rules(lambda rules: [*rules, own])

    assert [words for name, words in aws.asked if name.startswith("put")] == [
        {
            "Bucket": "b",
            "LifecycleConfiguration": {"Rules": [theirs, own]},
            "TransitionDefaultMinimumObjectSize": "varies_by_storage_class",
        },
        {"Bucket": "b", "LifecycleConfiguration": {"Rules": [own]}},
    ]


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("get_bucket_encryption", "s3:GetEncryptionConfiguration"),
        ("put_bucket_encryption", "s3:PutEncryptionConfiguration"),
        ("get_bucket_tagging", "s3:GetBucketTagging"),
        ("put_bucket_tagging", "s3:PutBucketTagging"),
    ],
)
def test_a_refusal_of_the_bucket_names_the_action_of_iam(operation: str, action: str) -> None:
    name = "".join(each.capitalize() for each in operation.split("_"))
    bucket = SourceBucket("b", ScriptedAws({operation: [client_error("AccessDenied", name)]}))
    calls = {
        "get_bucket_encryption": bucket.encryption,
        "put_bucket_encryption": lambda: bucket.set_encryption({}),
        "get_bucket_tagging": bucket.tags,
        "put_bucket_tagging": lambda: bucket.set_tags({}),
    }
    with pytest.raises(AwsError, match=f"not allowed: {action} on b"):
        calls[operation]()
