"""The accounts that may pull, by policies as people and AWS' own tools write them."""

from __future__ import annotations

from typing import Any

import pytest

from lamina.declare.accounts import AwsAccount
from lamina.ecr.pullers import (
    AccountRegion,
    OpenPrincipal,
    PullingAccount,
    declared,
    let_in,
    missing,
    places,
    unbounded,
)

from ..conftest import RUNTIME, Repo

OWN, OTHER, THIRD = "123456789012", "210987654321", "333333333333"
ROOT = f"arn:aws:iam::{OTHER}:root"
HERE = "the policy of app"


def statement(principal: Any, condition: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": principal,
        "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
        **({"Condition": condition} if condition else {}),
        **more,
    }


def who(*statements: dict[str, Any]) -> list[str]:
    """Return account numbers, and the names of open principals."""
    found = let_in({"Version": "2012-10-17", "Statement": list(statements)}, HERE)
    return [each.account if isinstance(each, PullingAccount) else each.who for each in found]


LAMBDA = {"Service": "lambda.amazonaws.com"}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (statement({"AWS": ROOT}), [OTHER]),
        (statement({"AWS": OTHER}), [OTHER]),
        (statement({"AWS": [f"arn:aws:iam::{OTHER}:role/ci/x", f"arn:aws:iam::{THIRD}:user/me"]}),
         [OTHER, THIRD]),
        (statement({"AWS": f"arn:aws:sts::{OTHER}:assumed-role/ci/session"}), [OTHER]),
        (statement({"AWS": f"arn:aws-cn:iam::{OTHER}:root"}), [OTHER]),
        (statement({"AWS": "AROAEXAMPLEEXAMPLE123"}), []),
        (statement("*"), ["any account"]),
        (statement({"AWS": "*"}), ["any account"]),
        (statement({"AWS": ["*", ROOT]}), ["any account", OTHER]),
        (statement("*", {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}), ["the organisation o-1"]),
        (statement("*", {"StringLike": {"AWS:principalorgid": ["o-1", "o-2"]}}),
         ["the organisation o-1, o-2"]),
        (statement("*", {"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": "o-1/r-1/ou-2/*"}}),
         ["the organisation o-1/r-1/ou-2/*"]),
        (statement("*", {"StringEquals": {"aws:PrincipalAccount": [OTHER, THIRD]}}), [OTHER, THIRD]),
        (statement("*", {"StringEquals": {"aws:PrincipalAccount": OTHER, "aws:PrincipalOrgID": "o-1"}}),
         [OTHER]),
        (statement("*", {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{OTHER}:role/ci-*"}}), [OTHER]),
        (statement("*", {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/ci"}}),
         ["accounts whose aws:PrincipalArn is arn:aws:iam::*:role/ci"]),
        (statement("*", {"StringEqualsIfExists": {"aws:PrincipalAccount": OTHER}}), ["any account"]),
        (statement("*", {"StringNotEquals": {"aws:PrincipalAccount": OTHER}}), ["any account"]),
        (statement("*", {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), ["any account"]),
        (statement(LAMBDA), []),
        (statement(LAMBDA, {"ArnLike": {"aws:sourceArn": f"arn:aws:lambda:eu-west-1:{OTHER}:function:*"}}),
         [OTHER]),
        (statement(LAMBDA, {"StringLike": {"aws:sourceArn": f"arn:aws:lambda:*:{OTHER}:function:*"}}),
         [OTHER]),
        (statement(LAMBDA, {"StringEquals": {"aws:SourceAccount": [OWN, OTHER]}}), [OWN, OTHER]),
        (statement(LAMBDA, {"StringEquals": {"aws:SourceOrgID": "o-1"}}), ["the organisation o-1"]),
        (statement(LAMBDA, {"ArnLike": {"aws:sourceArn": "arn:aws:lambda:eu-west-1:*:function:x"}}),
         ["accounts whose aws:sourceArn is arn:aws:lambda:eu-west-1:*:function:x"]),
        (statement({"Service": "codebuild.amazonaws.com"}, {"StringEquals": {"aws:SourceAccount": OTHER}}),
         []),
        (statement({"Federated": f"arn:aws:iam::{OTHER}:saml-provider/x"}), [OTHER]),
        (statement({"Federated": "accounts.example.com"}), ["accounts.example.com"]),
        (statement({"AWS": ROOT}, Action="ecr:*"), [OTHER]),
        (statement({"AWS": ROOT}, Action="*"), [OTHER]),
        (statement({"AWS": ROOT}, Action="ecr:Batch*"), [OTHER]),
        (statement({"AWS": ROOT}, Action="ECR:getdownloadurlforlayer"), [OTHER]),
        (statement({"AWS": ROOT}, Action=["ecr:DescribeImages", "ecr:ReplicateImage"]), []),
        (statement({"AWS": ROOT}, Effect="Deny"), []),
    ],
)  # fmt: skip
def test_who_may_pull_by_a_statement(given: dict[str, Any], found: list[str]) -> None:
    assert who(given) == found


def test_a_principal_that_is_not_named_is_let_in_by_the_opposite() -> None:
    anybody = {key: value for key, value in statement(None).items() if key != "Principal"}
    action = {key: value for key, value in statement({"AWS": ROOT}).items() if key != "Action"}

    assert who({**anybody, "NotPrincipal": {"AWS": ROOT}}) == ["any account but some"]
    assert who({**action, "NotAction": "ecr:Delete*"}) == [OTHER]
    assert who({**action, "NotAction": ["ecr:BatchGet*", "ecr:Get*"]}) == []


def test_a_policy_may_be_absent_or_have_one_statement() -> None:
    alone = {"Statement": statement({"AWS": OTHER}, Sid="Theirs")}

    assert let_in(None, HERE) == ()
    assert let_in(alone, HERE) == (
        PullingAccount(account=OTHER, where="statement Theirs of the policy of app", by_policy=True),
    )


def test_each_account_must_be_asked_in_the_registrys_region() -> None:
    pullers = [
        PullingAccount(account=OWN, where="own"),
        PullingAccount(account=OTHER, where="readers"),
        PullingAccount(account=OTHER, where="again"),
        PullingAccount(account=THIRD, where="policy", by_policy=True),
    ]
    own, other = (
        AccountRegion(account=OWN, region="eu-west-1"),
        AccountRegion(account=OTHER, region="us-east-1"),
    )

    wrong_region, by_policy = missing(pullers, "eu-west-1", [own, other])

    assert wrong_region.where == "readers"
    assert f"account {OTHER} may run these images" in wrong_region.what
    assert wrong_region.allowed == f"asked: account {OWN}, eu-west-1; account {OTHER}, us-east-1"
    assert f'{{ role = "arn:aws:iam::{OTHER}:role/<role>" }} to look-in' in str(wrong_region.hint)
    assert "lambda:ListFunctions" in str(wrong_region.hint)
    assert THIRD in by_policy.what
    assert str(by_policy.hint).endswith("name the accounts whose functions do: accounts")
    everybody = [AccountRegion(account=each, region="eu-west-1") for each in (OWN, OTHER, THIRD)]
    assert list(missing(pullers, "eu-west-1", everybody)) == []


def test_crowds_are_reported_once_with_the_setting_that_names_their_accounts() -> None:
    (told,) = unbounded(OpenPrincipal(who="any account", where=where) for where in ("one", "two", "three"))

    assert (told.what, told.where) == (
        "functions of any account may run these images: gc cannot know which accounts to ask",
        "one (and 2 more)",
    )
    assert "accounts = " in str(told.hint)


CALLER = AccountRegion(account=OWN, region="eu-west-1")
ROLE = f"arn:aws:iam::{OTHER}:role/gc"


def asked(repo: Repo, config: str) -> tuple[list[str], list[str]]:
    """Return the accounts and regions that a configuration asks, and the sources of missing ones."""
    repo.image("app", f"FROM {RUNTIME}")
    repo.config(config)
    project = repo.project()
    pullers = tuple(declared(project, CALLER))
    found = places(project, CALLER, pullers)
    assert all(isinstance(each, AwsAccount) for each in found.values())
    return list(map(str, found)), [str(each.where) for each in missing(pullers, CALLER.region, found)]


@pytest.mark.parametrize(
    ("config", "where", "left"),
    [
        ("", [f"account {OWN}, eu-west-1"], []),
        (f'[tool.lamina.ecr]\nreaders = ["{OTHER}"]', [f"account {OWN}, eu-west-1"],
         ["readers of [tool.lamina.ecr]"]),
        (f'[tool.lamina.ecr]\nreaders = ["{ROLE}"]\n[tool.lamina.gc]\nlook-in = [{{ role = "{ROLE}" }}]',
         [f"account {OTHER}, eu-west-1", f"account {OWN}, eu-west-1"], []),
        (f'[tool.lamina.gc]\nlook-in = [{{ role = "{ROLE}" }}]',
         [f"account {OTHER}, eu-west-1", f"account {OWN}, eu-west-1"], []),
        ('[tool.lamina.gc]\nlook-in = [{ region = "us-east-1" }]',
         [f"account {OWN}, us-east-1", f"account {OWN}, eu-west-1"], []),
        ((f'[tool.lamina.ecr]\nreaders = ["{OTHER}"]\n'
         f'[tool.lamina.gc]\nlook-in = [{{ role = "{ROLE}", region = "us-east-1" }}]'),
         [f"account {OTHER}, us-east-1", f"account {OWN}, eu-west-1"], ["readers of [tool.lamina.ecr]"]),
        (f'[tool.lamina.ecr]\naccount = "{OTHER}"', [f"account {OWN}, eu-west-1"],
         ["the registry's own account"]),
        (f'[tool.lamina.ecr]\naccount = "{OTHER}"\n[tool.lamina.gc]\nlook-in = [{{ role = "{ROLE}" }}]',
         [f"account {OTHER}, eu-west-1"], []),
        ((f'[tool.lamina.ecr]\naccount = "{OTHER}"\n[tool.lamina.images.app]\nfunctions = ["app"]\n'
         f'[tool.lamina.gc]\nlook-in = [{{ role = "{ROLE}" }}]'),
         [f"account {OTHER}, eu-west-1", f"account {OWN}, eu-west-1"], []),
        (f'[tool.lamina.gc]\naccounts = ["{THIRD}"]', [f"account {OWN}, eu-west-1"],
         ["accounts of [tool.lamina.gc]"]),
        (f'[tool.lamina]\nstack = "prod"\n[tool.lamina.stacks.prod]\nrole = "{ROLE}"\nregion = "us-east-1"',
         [f"account {OTHER}, us-east-1", f"account {OWN}, eu-west-1"], []),
    ],
    ids=["nothing", "reader", "reader-asked", "only-another-account", "only-another-region",
         "reader-in-another-region", "owner", "owner-asked", "caller-runs-functions", "accounts",
         "role-of-the-stack"],
)  # fmt: skip
def test_whom_a_configuration_asks_and_whom_it_leaves_out(
    repo: Repo, config: str, where: list[str], left: list[str]
) -> None:
    assert asked(repo, config) == (where, left)
