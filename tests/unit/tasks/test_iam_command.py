"""`lamina iam` in an account in memory: what is made of its templates is what it prints."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from ..conftest import Repo
from .conftest import Command

ROLE = "arn:aws:iam::123456789012:role/builds/lamina-codebuild"
CONFIG = f'''
[tool.lamina]
registry = "ecr/team"
cache-branch = "main"
[tool.lamina.ecr]
account = "210987654321"
region = "eu-west-1"
[tool.lamina.codebuild]
bucket = "our-lamina-builds"
role = "{ROLE}"
tags = {{ team = "data" }}
'''
NAMES = ["setup", "build", "deploy", "gc", "outputs", "codebuild", "codebuild-caller"]
Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def account(receipts: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    receipts.config(CONFIG)
    with mock_aws():
        yield


def printed(lamina: Command, capsys: Output, *words: str) -> Any:
    assert lamina("iam", *words) == 0
    return json.loads(capsys.readouterr().out)


def test_all_policies_are_printed_by_name(lamina: Command, capsys: Output) -> None:
    found = printed(lamina, capsys)

    assert list(found) == [*NAMES, "codebuild-trust"]
    resources = {each["Sid"]: each["Resource"] for each in found["build"]["Statement"]}
    assert resources["Push"] == "arn:aws:ecr:eu-west-1:210987654321:repository/team/*"
    deploy = {each["Sid"]: each["Resource"] for each in found["deploy"]["Statement"]}
    assert deploy["Update"] == "arn:aws:lambda:eu-west-1:123456789012:function:*"
    assert printed(lamina, capsys, "gc", "build").keys() == {"gc", "build"}
    assert printed(lamina, capsys, "--policy", "gc", "--json")["policies"] == {"gc": found["gc"]}


def test_policies_are_for_all_that_is_asked_and_with_which_role(
    lamina: Command, receipts: Repo, capsys: Output
) -> None:
    registry, stack, look_in = (
        f"arn:aws:iam::{each}:role/r" for each in ("210987654321", "333333333333", "444444444444")
    )
    receipts.config(f'''
[tool.lamina]
registry = "ecr/team"
[tool.lamina.ecr]
region = "eu-west-1"
regions = ["us-east-1"]
role = "{registry}"
public-login = false
[tool.lamina.gc]
look-in = [{{}}, {{ region = "eu-north-1" }}, {{ role = "{look_in}", region = "ap-south-1" }}]
services = []
[tool.lamina.stacks.dev]
role = "{stack}"
region = "us-east-1"
''')

    found = {
        name: {each["Sid"]: each["Resource"] for each in document["Statement"]}
        for name, document in printed(lamina, capsys).items()
    }

    # Functions of the stack's role are not read by whoever runs gc, but by that role.
    assert found["deploy"]["Update"] == "arn:aws:lambda:us-east-1:333333333333:function:*"
    assert found["gc"]["VersionsInUse"] == [
        f"arn:aws:lambda:{region}:123456789012:function:*" for region in ("eu-west-1", "eu-north-1")
    ]
    assert found["gc"]["OnlyForRolesInLookIn"] == look_in
    roles = {
        name: {each for each in (registry, stack) if each in document.values()}
        for name, document in found.items()
    }
    assert roles == {
        "setup": {registry},
        "build": {registry},
        "deploy": {registry, stack},
        "gc": {registry, stack},
        "outputs": {stack},
    }
    assert found["setup"]["Repositories"] == [
        f"arn:aws:ecr:{region}:210987654321:repository/team/*" for region in ("eu-west-1", "us-east-1")
    ]
    named = {each for document in found.values() for each in document}
    assert not named & {"OnlyForTags", "OnlyForMoreOfEcrPublic", "OnlyForOtherServicesThatUseImages"}


def test_builds_in_another_region_push_to_the_registrys(
    lamina: Command, receipts: Repo, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    builds = CONFIG.replace("[tool.lamina.codebuild]", '[tool.lamina.codebuild]\nregion = "us-east-1"')
    receipts.config(
        builds.replace('region = "eu-west-1"\n', 'role = "arn:aws:iam::210987654321:role/images"\n')
    )

    found = printed(lamina, capsys, "codebuild", "codebuild-caller")
    for document in (found["codebuild"], found["codebuild-caller"]):
        images = next(each for each in document["Statement"] if each["Sid"] == "Images")
        assert {each.split(":")[3] for each in images["Resource"]} == {"eu-central-1"}
    assert "arn:aws:iam::210987654321:role/images" in json.dumps(found["codebuild-caller"])
    assert "arn:aws:codebuild:us-east-1:" in json.dumps(found["codebuild-trust"])


def test_keys_are_those_of_every_region(lamina: Command, receipts: Repo, capsys: Output) -> None:
    keys = {}
    for region in ("eu-west-1", "us-east-1"):
        kms = boto3.client("kms", region_name=region)
        keys[region] = kms.create_key()["KeyMetadata"]["Arn"]
        kms.create_alias(AliasName="alias/images", TargetKeyId=keys[region])
    ecr = 'region = "eu-west-1"\nregions = ["us-east-1"]\nkms-key = "alias/images"\n'
    receipts.config(f'[tool.lamina]\nregistry = "ecr/team"\n[tool.lamina.ecr]\n{ecr}')

    found = {each["Sid"]: each["Resource"] for each in printed(lamina, capsys, "setup")["setup"]["Statement"]}
    assert found["OnlyForKmsKey"] == [*keys.values()]

    role = 'role = "arn:aws:iam::210987654321:role/images"'
    receipts.config(f'[tool.lamina]\nregistry = "ecr/team"\n[tool.lamina.ecr]\n{ecr}{role}')
    assert lamina("iam", "setup") == 2
    assert "the key of alias/images is in account 210987654321" in capsys.readouterr().err


def test_the_templates_make_what_is_printed(lamina: Command, capsys: Output) -> None:
    documents = printed(lamina, capsys)
    template = printed(lamina, capsys, "--format", "cloudformation")
    terraform = printed(lamina, capsys, "--format", "terraform")["resource"]
    boto3.client("cloudformation", region_name="eu-west-1").create_stack(
        StackName="policies", TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_NAMED_IAM"]
    )
    iam = boto3.client("iam")

    made = {}
    for each in iam.list_policies(Scope="Local")["Policies"]:
        version = iam.get_policy_version(PolicyArn=each["Arn"], VersionId=each["DefaultVersionId"])
        made[each["PolicyName"]] = version["PolicyVersion"]["Document"]
    managed = [name for name in NAMES if name != "codebuild"]
    assert made == {f"lamina-{name}-dev": documents[name] for name in managed}
    (role,) = iam.list_roles()["Roles"]
    assert (role["Arn"], role["AssumeRolePolicyDocument"]) == (ROLE, documents["codebuild-trust"])
    inline = iam.get_role_policy(RoleName=role["RoleName"], PolicyName="lamina")
    assert ast.literal_eval(str(inline["PolicyDocument"])) == documents["codebuild"]
    assert iam.list_role_tags(RoleName=role["RoleName"])["Tags"] == [{"Key": "team", "Value": "data"}]

    of_terraform = {each["name"]: json.loads(each["policy"]) for each in terraform["aws_iam_policy"].values()}
    assert of_terraform == made
    (found,) = terraform["aws_iam_role"].values()
    assert json.loads(found["assume_role_policy"]) == documents["codebuild-trust"]
    assert (found["name"], found["path"]) == ("lamina-codebuild", "/builds/")
    (found,) = terraform["aws_iam_role_policy"].values()
    assert json.loads(found["policy"]) == documents["codebuild"]


def test_without_codebuild_its_policies_are_left_out(lamina: Command, receipts: Repo, capsys: Output) -> None:
    receipts.config(CONFIG.partition("[tool.lamina.codebuild]")[0])

    assert list(printed(lamina, capsys)) == NAMES[:5]
    assert lamina("iam", "codebuild") == 2
    assert "the bucket for sources is not configured" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("bild",), "'bild' is not a policy; did you mean build?"),
        (("--format", "xml"), "'xml' is not a format"),
        (("--format", "cdk", "--json"), "--json and --format cdk both want standard output"),
        (("--registry", "local"), "policies are for images in ECR, and the registry is 'local'"),
    ],
)
def test_what_cannot_be_printed_is_refused(
    lamina: Command, capsys: Output, words: tuple[str, ...], told: str
) -> None:
    assert lamina("iam", *words) == 2
    output = capsys.readouterr()
    assert told in output.out + output.err
