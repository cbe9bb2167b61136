from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from lamina.codebuild.bucket import BucketFacts, bucket_changes, encrypted_by, expiry_rule, merged_rules
from lamina.codebuild.project import (
    CodeBuildAccount,
    caller_policy,
    project_changes,
    project_definition,
    project_update,
    role_policy,
    shown_policy,
    trust_policy,
)
from lamina.declare.codebuild import CodeBuildSettings
from lamina.refs import Reference

DOCS = Path(__file__).parents[3] / "docs" / "iam"
ROLE = "arn:aws:iam::123456789012:role/lamina-codebuild"
BUILDKIT = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/moby/buildkit:v0.25.1"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/KEY"
SAMPLE = CodeBuildSettings(
    bucket="our-lamina-builds",
    role=ROLE,
    buildkit=BUILDKIT,
    secrets={"ca": "team/ca"},
    kms_key=KEY,
    tags=(("team", "data"),),
)
ACCOUNT = CodeBuildAccount(
    partition="aws",
    account="123456789012",
    region="eu-west-1",
    registry_account="123456789012",
    registry_region="eu-west-1",
)
BOTH = ("amd64", "arm64")
REPOSITORIES = (
    "base-receipt-dynamo-dev",
    "base-receipt-label-dev",
    "lambda-embedding-dev",
    "lambda-word-label-dev",
)


def statement(policy: Any, sid: str) -> Any:
    (found,) = [each for each in policy["Statement"] if each.get("Sid") == sid]
    return found


def test_the_documents_hold_what_the_setup_prints() -> None:
    role = role_policy(SAMPLE, ACCOUNT, BOTH, REPOSITORIES, (Reference.parse(BUILDKIT),))
    caller = caller_policy(SAMPLE, ACCOUNT, BOTH, REPOSITORIES)

    assert (DOCS / "codebuild.json").read_text() == shown_policy(role) + "\n"
    assert (DOCS / "codebuild-caller.json").read_text() == shown_policy(caller) + "\n"


def test_the_caller_may_assume_the_role_of_the_registry() -> None:
    role = "arn:aws:iam::123456789012:role/images"
    caller = caller_policy(SAMPLE, ACCOUNT, BOTH, REPOSITORIES, registry_role=role)

    assert statement(caller, "RegistryRole")["Action"] == ["sts:AssumeRole"]
    assert statement(caller, "RegistryRole")["Resource"] == [role]


def test_nothing_is_allowed_on_everything_but_the_token() -> None:
    for policy in (
        role_policy(SAMPLE, ACCOUNT, BOTH, REPOSITORIES),
        caller_policy(SAMPLE, ACCOUNT, BOTH, REPOSITORIES),
    ):
        wide = [each["Action"] for each in policy["Statement"] if "*" in each["Resource"]]
        assert wide in ([["ecr:GetAuthorizationToken"]], [])
        assert "*" not in json.dumps([each["Action"] for each in policy["Statement"]])


def test_the_role_may_do_what_is_configured_and_no_more() -> None:
    bare = role_policy(CodeBuildSettings(bucket="b"), ACCOUNT, ("amd64",), ("one-dev",))
    more = replace(
        SAMPLE,
        secrets={"a": "team/a:key", "b": "ssm:/x/y", "c": "arn:aws:secretsmanager:r:1:secret:c-aaaaaa:k"},
    )
    abroad = replace(
        ACCOUNT, partition="aws-cn", registry_account="999999999999", registry_region="cn-north-1"
    )
    made = role_policy(more, abroad, ("arm64",), ("team/one-dev",), (Reference.parse("python:3"),))

    assert {each["Sid"] for each in bare["Statement"]} == {
        "Log",
        "Source",
        "Results",
        "RegistryToken",
        "Images",
    }
    assert statement(bare, "Images")["Resource"] == ["arn:aws:ecr:eu-west-1:123456789012:repository/one-dev"]
    assert statement(made, "Images")["Resource"] == [
        "arn:aws-cn:ecr:cn-north-1:999999999999:repository/team/one-dev"
    ]
    assert statement(made, "Secrets")["Resource"] == [
        "arn:aws-cn:secretsmanager:eu-west-1:123456789012:secret:team/a-??????",
        "arn:aws:secretsmanager:r:1:secret:c-aaaaaa",
    ]
    assert statement(made, "Parameters")["Resource"] == [
        "arn:aws-cn:ssm:eu-west-1:123456789012:parameter/x/y"
    ]
    (trust,) = trust_policy(more, ACCOUNT, BOTH)["Statement"]
    assert trust["Condition"]["ArnLike"]["aws:SourceArn"] == [
        "arn:aws:codebuild:eu-west-1:123456789012:project/lamina-amd64",
        "arn:aws:codebuild:eu-west-1:123456789012:project/lamina-arm64",
    ]


def test_a_project_is_of_its_architecture_and_privileged() -> None:
    made = project_definition(SAMPLE, "arm64")
    own = project_definition(replace(SAMPLE, images={"arm64": BUILDKIT}, timeout=600), "arm64")

    assert made["environment"]["type"] == "ARM_CONTAINER"
    assert made["environment"]["privilegedMode"] is True
    assert made["environment"]["imagePullCredentialsType"] == "CODEBUILD"
    assert own["environment"]["imagePullCredentialsType"] == "SERVICE_ROLE"
    assert (own["timeoutInMinutes"], own["queuedTimeoutInMinutes"]) == (600, 480)


THEIRS = {"name": "PROXY", "value": "proxy.example.org", "type": "PLAINTEXT"}


def test_only_what_differs_is_changed_and_what_is_not_ours_stays() -> None:
    wanted = project_definition(SAMPLE, "amd64")
    found = json.loads(json.dumps({**wanted, "arn": "arn:x", "badge": {"badgeEnabled": False}}))
    found["environment"] |= {"environmentVariables": [THEIRS], "computeType": "BUILD_GENERAL1_SMALL"}
    del found["timeoutInMinutes"]
    changes = tuple(project_changes(wanted, found))

    assert {(each.setting, each.before, each.after) for each in changes} == {
        ("environment.computeType", "BUILD_GENERAL1_SMALL", "BUILD_GENERAL1_LARGE"),
        ("timeoutInMinutes", "nothing", "60"),
    }
    update = project_update(wanted, found, changes)
    assert update.keys() == {"environment", "timeoutInMinutes"}
    assert update["environment"] == {**wanted["environment"], "environmentVariables": [THEIRS]}
    assert update["timeoutInMinutes"] == 60
    assert tuple(project_changes(wanted, {**wanted, "vpcConfig": {}})) == ()
    (new,) = project_changes(wanted, None)
    assert (new.before, new.after.split()[0]) == (None, "LINUX_CONTAINER")


def test_tags_of_others_stay_and_those_of_aws_are_not_sent_back() -> None:
    wanted = project_definition(replace(SAMPLE, tags=(("stage", "dev"), ("team", "data"))), "amd64")
    theirs = [
        {"key": "aws:cloudformation:stack-name", "value": "s"},
        {"key": "team", "value": "x"},
        {"key": "y", "value": "z"},
    ]
    found = {**wanted, "tags": theirs, "encryptionKey": "arn:aws:kms:eu-west-1:123456789012:alias/aws/s3"}
    changes = tuple(project_changes(wanted, found))
    update = project_update(wanted, found, changes)

    assert {(each.setting, each.before, each.after) for each in changes} == {
        ("tags", "team=x", "stage=dev, team=data"),
        ("encryptionKey", found["encryptionKey"], KEY),
    }
    assert update == {
        "encryptionKey": KEY,
        "tags": [
            {"key": "team", "value": "data"},
            {"key": "y", "value": "z"},
            {"key": "stage", "value": "dev"},
        ],
    }
    assert tuple(project_changes(wanted, {**wanted, "tags": [*wanted["tags"], *theirs[2:]]})) == ()
    bare = project_definition(CodeBuildSettings(bucket="b"), "amd64")
    assert {"tags", "encryptionKey"} & bare.keys() == set()
    assert tuple(project_changes(bare, {**bare, "tags": theirs, "encryptionKey": KEY})) == ()


BUCKET = CodeBuildSettings(bucket="b")


def test_the_bucket_has_one_rule_of_ours() -> None:
    theirs = {"ID": "theirs", "Status": "Enabled", "Expiration": {"Days": 1}}
    other = {**expiry_rule(), "Expiration": {"Days": 7}}

    assert [each.after for each in bucket_changes(BUCKET, None)] == ["created, private", "30 days, Enabled"]
    (change,) = bucket_changes(BUCKET, BucketFacts(rules=(theirs, other)))
    assert (change.before, change.after) == ("7 days, Enabled", "30 days, Enabled")
    assert merged_rules((theirs, other)) == (theirs, expiry_rule())
    assert tuple(bucket_changes(BUCKET, BucketFacts(rules=merged_rules((theirs,))))) == ()


def test_the_bucket_gets_a_key_and_tags_and_keeps_what_others_set() -> None:
    wanted = replace(BUCKET, kms_key=KEY, tags=(("team", "data"),))
    default = "ApplyServerSideEncryptionByDefault"
    theirs = {default: {"SSEAlgorithm": "AES256"}, "BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]}}
    as_it_is = BucketFacts(rules=(expiry_rule(),), encryption=theirs, tags={"team": "x", "y": "z"})

    changes = {each.setting: (each.before, each.after) for each in bucket_changes(wanted, as_it_is)}
    assert changes == {"KMS key": ("AES256", KEY), "tags": ("team=x", "team=data")}
    made = encrypted_by(KEY, theirs)
    assert made == {
        default: {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY},
        "BucketKeyEnabled": True,
        "BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]},
    }
    done = replace(as_it_is, encryption=made, tags={"team": "data", "y": "z"})
    assert tuple(bucket_changes(wanted, done)) == ()
    other = {default: {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "KEY"}}  # of whom, is not known
    assert [each.before for each in bucket_changes(wanted, replace(done, encryption=other))] == ["KEY"]
    assert tuple(bucket_changes(BUCKET, as_it_is)) == ()


def test_policies_let_ecr_fill_pull_through_caches() -> None:
    role = role_policy(SAMPLE, ACCOUNT, BOTH, REPOSITORIES, caches=["ecr-public"])
    caller = caller_policy(SAMPLE, ACCOUNT, BOTH, REPOSITORIES, ["ecr-public"])

    for policy, actions in ((role, []), (caller, ["ecr:CreateRepository"])):
        found = statement(policy, "PullThroughCaches")
        assert found["Resource"] == [ACCOUNT.repository("ecr-public/*")]
        assert {"ecr:BatchImportUpstreamImage", *actions} <= set(found["Action"])
