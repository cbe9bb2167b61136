"""The documents in docs/iam, held against the calls of AWS in the code: none is missing, none is too much."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import boto3
import pytest

from lamina.aws.changes import READING
from lamina.iam.policies import DOCUMENTS as FILLED
from lamina.iam.policies import document

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "build/lamina"
DOCUMENTS = sorted((ROOT / "docs/iam").glob("*.json"))
FREE = {"sts:GetCallerIdentity"}
"""What every caller may do."""
NAMES = {
    "lambda:Invoke": "lambda:InvokeFunction",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
}
"""Operations whose action is called otherwise."""
SERVICES = (
    *("ecr", "lambda", "ssm", "sts", "codebuild", "s3", "logs", "cloudformation"),
    *("events", "scheduler", "cloudwatch"),
)
NAMED = ("apprunner", "batch", "ecr", "ecs", "kms", "sagemaker")
"""Services whose clients are named after them: others have methods of the same names."""
PROTOCOL = {
    "ecr:BatchCheckLayerAvailability",  # HEAD of a blob
    "ecr:BatchDeleteImage",  # DELETE of a manifest
    "ecr:BatchGetImage",  # GET of a manifest
    "ecr:CompleteLayerUpload",  # PUT of a blob
    "ecr:GetDownloadUrlForLayer",  # GET of a blob, and of one that is mounted
    "ecr:InitiateLayerUpload",  # POST of an upload
    "ecr:PutImage",  # PUT of a manifest
    "ecr:UploadLayerPart",  # PATCH of an upload
}
"""What ECR checks for requests of the OCI protocol, which Lamina, BuildKit and the engine make.

https://docs.aws.amazon.com/AmazonECR/latest/userguide/security_iam_id-based-policy-examples.html
"""
OURS: dict[str, tuple[str, ...]] = {
    "setup": ("aws/ecr_settings.py", "aws/ecr_policies.py"),
    "gc": (
        *("registries/ecr_inventory.py", "aws/ecr_policies.py"),
        *("aws/lambda_usage.py", "aws/version_users.py", "aws/container_users.py"),
    ),
    "build": ("registries/ecr.py", "registries/ecr_token.py"),
    "deploy": (
        "aws/lambda_.py",
        "aws/ecr_policies.py",
        "aws/cloudformation.py",
        "aws/alarms.py",
        "aws/ecr_findings.py",
        "aws/ecr_replication.py",
    ),
    "outputs": ("aws/ssm.py",),
}
"""Document -> the modules that ask AWS for its command; what it has besides is the protocol's."""
ROLE = {"sts:AssumeRole"}
"""What botocore asks for when a role is configured."""
BORROWED = {"gc": {"lambda:ListAliases"}, "deploy": {"ecr:DescribeRepositories"}}
"""Document -> what its command asks for through a module of another one."""
KEY = {"kms:CreateGrant", "kms:DescribeKey", "kms:RetireGrant"}
"""What ECR asks of a key in the name of who creates a repository.

https://docs.aws.amazon.com/AmazonECR/latest/userguide/encryption-at-rest.html
"""
CREATION = {
    "build": {*KEY, "ecr:TagResource", "ecr:BatchImportUpstreamImage"},
    "setup": {*KEY, "iam:PassRole", "iam:CreateServiceLinkedRole"},
}
"""Document -> what AWS checks besides when a repository or a template with a key and tags is created, or the
first pull-through cache, and when an image is fetched through one."""
LOGIN = {
    "ecr:GetAuthorizationToken",
    *("ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"),  # of ECR Public
}


@cache
def operations(service: str) -> dict[str, str]:
    """Method of boto3's client -> operation."""
    client = boto3.client(
        service,  # type: ignore[call-overload]
        region_name="eu-west-1",
        aws_access_key_id="x",
        aws_secret_access_key="y",
    )
    return dict(client.meta.method_to_api_mapping)


def calls(file: Path) -> Iterator[str]:
    """The actions for which a module asks, by the names of methods and of paginators."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        name = node.func.attr
        if name == "get_paginator" and isinstance(node.args[0], ast.Constant):
            name = str(node.args[0].value)
        receiver = ast.unparse(node.func.value)
        owner = [each for each in NAMED if receiver.startswith(f"{each}_client")]
        for service in owner or SERVICES:
            if (operation := operations(service).get(name)) and _is_client(receiver):
                action = f"{service}:{operation}"
                yield NAMES.get(action, action)


def _is_client(receiver: str) -> bool:
    """Whether an expression is a client, by the names that the house gives to one."""
    return "client" in receiver.lower() or receiver.startswith(("self._ecr", "session"))


def actions(document: Path) -> set[str]:
    read = json.loads(document.read_text("utf-8"))
    return {action for each in read["Statement"] for action in each["Action"]}


CHANGES = re.compile(
    r"^(Batch)?(Create|Delete|Put|Update|Set|Start|Stop|Publish|Invoke|Add|Remove|Tag|Untag|Register)"
)
"""How the names of operations begin that change something."""


def test_the_documents_are_those_that_the_command_fills() -> None:
    assert {*FILLED} == {*OURS}
    for name in FILLED:
        text = (ROOT / f"docs/iam/{name}.json").read_text("utf-8")
        assert text == document(name), f"run: cp docs/iam/{name}.json build/lamina/iam/"


def test_the_caller_of_codebuild_may_make_every_call_of_builds_and_setup() -> None:
    modules = ("aws/codebuild.py", "aws/source_bucket.py", "aws/kms.py")
    asked = {action for module in modules for action in calls(PACKAGE / module)} - FREE

    assert asked <= actions(ROOT / "docs/iam/codebuild-caller.json")


def test_each_call_that_changes_something_is_recorded() -> None:
    asked = {
        action
        for folder in ("registries", "aws")
        for file in sorted((PACKAGE / folder).glob("*.py"))
        for action in calls(file)
    }

    recorded = {action for action in asked if not action.partition(":")[2].startswith(READING)}
    assert {"lambda:UpdateAlias", "ecr:BatchDeleteImage", "codebuild:StartBuild"} <= recorded
    assert not [action for action in asked - recorded if CHANGES.search(action.partition(":")[2])]


def test_every_call_of_aws_is_in_a_document() -> None:
    allowed = {action for document in DOCUMENTS for action in actions(document)} | FREE
    asked = {
        action: file.relative_to(PACKAGE).as_posix()
        for room in ("registries", "aws")
        for file in sorted((PACKAGE / room).glob("*.py"))
        for action in calls(file)
    }

    assert len(asked) > 15
    assert {action: where for action, where in asked.items() if action not in allowed} == {}


@pytest.mark.parametrize("name", OURS)
def test_a_document_has_what_its_command_asks_for_and_no_more(name: str) -> None:
    asked = {action for module in OURS[name] for action in calls(PACKAGE / module)} - FREE
    given = actions(ROOT / f"docs/iam/{name}.json")

    assert asked <= given
    more = BORROWED.get(name, set()) | CREATION.get(name, set())
    assert given <= asked | PROTOCOL | LOGIN | ROLE | more


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.stem)
def test_a_document_is_a_policy_without_wildcards_in_actions(document: Path) -> None:
    read = json.loads(document.read_text("utf-8"))

    assert read["Version"] == "2012-10-17"
    for statement in read["Statement"]:
        assert statement["Effect"] == "Allow"
        assert statement["Sid"].isalnum()
        assert statement["Action"] == sorted(statement["Action"])
        assert not [action for action in statement["Action"] if "*" in action]


def test_only_reading_deletes_nothing() -> None:
    deleting = {
        each["Sid"]: each
        for each in json.loads((ROOT / "docs/iam/gc.json").read_text())["Statement"]
        if {"ecr:BatchDeleteImage", "lambda:DeleteFunction"} & set(each["Action"])
    }

    assert {name: each["Action"] for name, each in deleting.items()} == {
        "OnlyForTheFlagApply": ["ecr:BatchDeleteImage"],
        "OnlyForTheFlagsVersionsAndApply": ["lambda:DeleteFunction"],
    }
    assert deleting["OnlyForTheFlagsVersionsAndApply"]["Resource"].endswith(":function:*:*")  # no function
