"""What builds on CodeBuild need as resources for other tools: CloudFormation, Terraform, CDK. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from lamina.aws.templates import StackTemplate, TemplateResource, reference, tag_list
from lamina.codebuild.bucket import expiry_rule
from lamina.codebuild.project import TAGS
from lamina.declare.codebuild import CodeBuildSettings
from lamina.json_data import Json, JsonDocument, JsonTable, as_list, as_table

_BUCKET = "bucket "
_CLOUDFORMATION = {"buildspec": "BuildSpec"}
"""Keys of the API that CloudFormation spells differently, apart from their first letter."""
_TERRAFORM = {
    "timeoutInMinutes": "build_timeout",
    "queuedTimeoutInMinutes": "queued_timeout",
    "cloudWatchLogs": "cloudwatch_logs",
}


def builds(settings: CodeBuildSettings, definitions: Mapping[str, JsonTable], stack: str) -> StackTemplate:
    """Return the bucket and the projects, as the setup would make them.

    Args:
        settings: With the ARN of the key.
        definitions: Of projects, by name.
    """
    return StackTemplate(
        name="LaminaBuilds",
        stack=stack,
        command="codebuild.setup",
        description="Builds of images on CodeBuild",
        resources=(_bucket(settings), *(_project(each) for each in definitions.values())),
    )


def _bucket(settings: CodeBuildSettings) -> TemplateResource:
    bucket, tags, rule = str(settings.bucket), dict(settings.tags), expiry_rule()
    key = settings.kms_key
    kind, name = "aws_s3_bucket", f"{_BUCKET}{settings.bucket}"
    prefix = as_table(rule["Filter"])["Prefix"]
    days = as_table(rule["Expiration"])["Days"]
    unfinished = as_table(rule["AbortIncompleteMultipartUpload"])["DaysAfterInitiation"]
    by_default: JsonDocument = {"sse_algorithm": "aws:kms", "kms_master_key_id": key}
    of_bucket: JsonDocument = {"bucket": reference(kind, name, "id")}
    return TemplateResource(
        name=name,
        type="AWS::S3::Bucket",
        kept=True,
        properties={
            "BucketName": bucket,
            "LifecycleConfiguration": {
                "Rules": [
                    {
                        "Id": rule["ID"],
                        "Status": rule["Status"],
                        "Prefix": prefix,
                        "ExpirationInDays": days,
                        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": unfinished},
                    }
                ]
            },
            **({"BucketEncryption": _encryption(key)} if key else {}),
            **({"Tags": tag_list(tags)} if tags else {}),
        },
        terraform={
            kind: {"bucket": bucket, **({"tags": {**tags}} if tags else {})},
            "aws_s3_bucket_lifecycle_configuration": {
                **of_bucket,
                "rule": {
                    "id": rule["ID"],
                    "status": rule["Status"],
                    "filter": {"prefix": prefix},
                    "expiration": {"days": days},
                    "abort_incomplete_multipart_upload": {"days_after_initiation": unfinished},
                },
            },
            **(
                {
                    "aws_s3_bucket_server_side_encryption_configuration": {
                        **of_bucket,
                        "rule": {
                            "apply_server_side_encryption_by_default": by_default,
                            "bucket_key_enabled": True,
                        },
                    }
                }
                if key
                else {}
            ),
        },
    )


def _encryption(key: str) -> JsonDocument:
    default: JsonDocument = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rule: JsonDocument = {"BucketKeyEnabled": True, "ServerSideEncryptionByDefault": default}
    return {"ServerSideEncryptionConfiguration": [rule]}


def _project(definition: JsonTable) -> TemplateResource:
    tags = {str(each["key"]): each["value"] for each in map(as_table, as_list(definition.get(TAGS)))}
    own = {key: value for key, value in definition.items() if key != TAGS}
    return TemplateResource(
        name=f"project {definition['name']}",
        type="AWS::CodeBuild::Project",
        properties={
            **as_table(_renamed(own, _in_cloudformation)),
            **({"Tags": tag_list(tags)} if tags else {}),
        },
        terraform={
            "aws_codebuild_project": {
                **as_table(_renamed(own, _in_terraform)),
                **({"tags": tags} if tags else {}),
            }
        },
    )


def _renamed(value: Json, name: Callable[[str], str]) -> Json:
    if not isinstance(value, Mapping):
        return value
    return {name(key): _renamed(each, name) for key, each in value.items()}


def _in_cloudformation(key: str) -> str:
    return _CLOUDFORMATION.get(key, key[0].upper() + key[1:])


def _in_terraform(key: str) -> str:
    return _TERRAFORM.get(key) or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower()
