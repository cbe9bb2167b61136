from __future__ import annotations

import json
from typing import Any

import pytest

from lamina.declare.ecr import Ecr
from lamina.ecr.desired import (
    ACCOUNT,
    APPLIED,
    EXISTENCE,
    IMMUTABLE,
    KEY,
    LIFECYCLE,
    MOUNTING,
    MUTABILITY,
    MUTABLE,
    POLICY,
    ROLE,
    SCAN,
    TAGS,
    UPSTREAM,
    EcrCaller,
    SettingChange,
    canonical,
    changes,
    fixed,
    merged,
    wanted_resources,
)
from lamina.refs import PullThrough

HERE = EcrCaller(partition="aws", account="123456789012", registry="123456789012", region="eu-west-1")
CMK = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:ecr-pullthroughcache/hub-AbCdEf"
CACHED = PullThrough(registry="docker.io", prefix="docker-hub", secret=SECRET)
BASE, FUNCTION, CACHE = "team/base-dev", "team/app-dev", "team/app-dev-cache"
ALL = {"bases": [BASE], "functions": [FUNCTION], "caches": [CACHE]}
LAMBDA_ITSELF = {  # as Lambda adds it when a function is created
    "Sid": "LambdaECRImageRetrievalPolicy",
    "Effect": "Allow",
    "Principal": {"Service": "lambda.amazonaws.com"},
    "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
    "Condition": {"StringLike": {"aws:sourceArn": "arn:aws:lambda:eu-west-1:123456789012:function:*"}},
}


def applied(seen: dict[str, Any], found: tuple[SettingChange, ...]) -> dict[str, Any]:
    """Return the resources after the changes."""
    world = {name: dict(aspects) if aspects else None for name, aspects in seen.items()}
    for each in found:
        if each.aspect == EXISTENCE:
            world[each.resource] = {**each.will, LIFECYCLE: None, POLICY: None}
        else:
            world[each.resource] = {**(world.get(each.resource) or {}), each.aspect: each.will}
    return world


@pytest.mark.parametrize(
    "ecr",
    [
        Ecr(),
        Ecr(readers=("210987654321",), template="team"),
        Ecr(scan_on_push=False),
        Ecr(kms_key=CMK, tags=(("team", "data"),), template="team", template_role="arn:aws:iam::1:role/x"),
        Ecr(pull_through=(CACHED,)),
    ],
)
def test_an_empty_account_becomes_what_is_wanted_and_stays_so(ecr: Ecr) -> None:
    wanted = wanted_resources(ecr, HERE, **ALL)
    empty: dict[str, Any] = dict.fromkeys(wanted) | {ACCOUNT: {MOUNTING: False}}

    found = changes(wanted, empty)

    assert {each.resource for each in found} == set(wanted)
    assert all(each.why and each.before and each.after for each in found)
    after = json.loads(json.dumps(applied(empty, found)))
    assert changes(wanted, after) == ()


def test_only_caches_expire_by_themselves() -> None:
    wanted = wanted_resources(Ecr(untagged_days=3, cache_days=9), HERE, **ALL)

    assert wanted[BASE][LIFECYCLE] is wanted[FUNCTION][LIFECYCLE] is None
    rules = wanted[CACHE][LIFECYCLE]["rules"]
    days = {each["selection"]["tagStatus"]: each["selection"]["countNumber"] for each in rules}
    assert days == {"untagged": 3, "any": 9}
    assert 100 <= len(json.dumps(wanted[CACHE][LIFECYCLE])) <= 30_720


def test_content_tags_are_immutable_and_caches_are_not() -> None:
    wanted = wanted_resources(Ecr(), HERE, **ALL)

    assert wanted[BASE][MUTABILITY] == wanted[FUNCTION][MUTABILITY] == IMMUTABLE
    assert IMMUTABLE["except"] == ["append-*", "cache-*", "git-*", "stable"]
    assert wanted[CACHE][MUTABILITY] == MUTABLE


def test_functions_may_pull_what_they_run_and_readers_all_images() -> None:
    ecr = Ecr(readers=("210987654321", "arn:aws:iam::111122223333:role/ci"))
    wanted = wanted_resources(ecr, HERE, **ALL)

    pull, read = wanted[FUNCTION][POLICY]
    assert wanted[BASE][POLICY] == [read]
    assert wanted[CACHE][POLICY] == []
    assert pull["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert pull["Condition"]["ArnLike"]["aws:sourceArn"] == [
        f"arn:aws:lambda:eu-west-1:{account}:function:*"
        for account in ("111122223333", "123456789012", "210987654321")
    ]
    assert read["Principal"]["AWS"] == [
        "arn:aws:iam::210987654321:root",
        "arn:aws:iam::111122223333:role/ci",
    ]


def test_another_partition_has_its_own_names() -> None:
    china = EcrCaller(
        partition="aws-cn", account="123456789012", registry="123456789012", region="cn-north-1"
    )
    pull, read = wanted_resources(Ecr(readers=("210987654321",)), china, **ALL)[FUNCTION][POLICY]

    assert pull["Condition"]["ArnLike"]["aws:sourceArn"][0].startswith("arn:aws-cn:lambda:cn-north-1:")
    assert read["Principal"]["AWS"] == ["arn:aws-cn:iam::210987654321:root"]


def test_settings_of_another_account_are_out_of_reach() -> None:
    away = EcrCaller(partition="aws", account="111122223333", registry="123456789012", region="eu-west-1")
    wanted = wanted_resources(Ecr(template="team"), away, **ALL)

    assert set(wanted) == {BASE, FUNCTION, CACHE}
    assert ACCOUNT not in wanted_resources(Ecr(blob_mounting=False), HERE, **ALL)


@pytest.mark.parametrize(
    ("aspect", "value", "before", "after"),
    [
        (MUTABILITY, MUTABLE, "MUTABLE", "IMMUTABLE_WITH_EXCLUSION except append-*, cache-*, git-*, stable"),
        (
            MUTABILITY,
            {"mode": "IMMUTABLE_WITH_EXCLUSION", "except": ["stable"]},
            "IMMUTABLE_WITH_EXCLUSION except stable",
            "IMMUTABLE_WITH_EXCLUSION except append-*, cache-*, git-*, stable",
        ),
        (SCAN, False, "off", "on"),
        (
            LIFECYCLE,
            {
                "rules": [
                    {
                        "rulePriority": 1,
                        "selection": {
                            "tagStatus": "tagged",
                            "tagPrefixList": ["sha-"],
                            "countType": "imageCountMoreThan",
                            "countNumber": 5,
                        },
                        "action": {"type": "expire"},
                    }
                ]
            },
            "tagged sha- expire imageCountMoreThan 5",
            "none",
        ),
    ],
)
def test_drift_is_shown_as_it_is_and_as_it_will_be(aspect: str, value: Any, before: str, after: str) -> None:
    wanted = wanted_resources(Ecr(), HERE, **ALL)
    right = applied(dict.fromkeys(wanted), changes(wanted, dict.fromkeys(wanted)))
    right[BASE] = {**right[BASE], aspect: value}

    (found,) = changes(wanted, right)

    assert (found.resource, found.aspect, found.before, found.after) == (BASE, aspect, before, after)


def test_statements_of_others_stay() -> None:
    wanted = wanted_resources(Ecr(), HERE, **ALL)
    right = applied(dict.fromkeys(wanted), changes(wanted, dict.fromkeys(wanted)))
    right[FUNCTION] = {**right[FUNCTION], POLICY: {"Version": "2012-10-17", "Statement": [LAMBDA_ITSELF]}}

    (found,) = changes(wanted, right)

    assert found.aspect == POLICY
    assert found.before.startswith("LambdaECRImageRetrievalPolicy: Allow lambda.amazonaws.com for arn:aws:")
    assert [each["Sid"] for each in found.will["Statement"]] == [
        "LambdaECRImageRetrievalPolicy",
        "LaminaFunctionsPull",
    ]


def test_a_statement_of_ours_that_is_no_longer_wanted_goes() -> None:
    wanted = wanted_resources(Ecr(readers=("210987654321",)), HERE, **ALL)
    was = merged(None, wanted[BASE][POLICY])

    assert merged(was, []) is None
    kept = merged(merged({"Statement": LAMBDA_ITSELF}, wanted[BASE][POLICY]), [])
    assert kept == {"Statement": [LAMBDA_ITSELF]}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"Action": "ecr:BatchGetImage"}, {"Action": ["ecr:BatchGetImage"]}),
        ({"Action": ["b", "a"]}, {"Action": ["a", "b"]}),
        ({"Principal": {"AWS": "123456789012"}}, {"Principal": {"AWS": ["arn:aws:iam::123456789012:root"]}}),
        ({"aws:SourceArn": "x"}, {"aws:sourceArn": ["x"]}),
    ],
)
def test_a_value_that_means_the_same_to_aws_is_not_a_change(one: Any, other: Any) -> None:
    assert canonical(one) == canonical(other)


def test_a_value_of_another_meaning_is_a_change() -> None:
    assert canonical({"AWS": "123456789012"}) != canonical({"AWS": "210987654321"})
    assert canonical({"AWS": "*"}) != canonical({"AWS": "arn:aws:iam::123456789012:root"})


def test_a_template_keeps_what_else_it_is_for() -> None:
    wanted = wanted_resources(Ecr(template="team"), HERE, bases=[], functions=[], caches=[])
    seen = {
        ACCOUNT: {MOUNTING: True},
        "template team": {**wanted["template team"], POLICY: None, APPLIED: ["PULL_THROUGH_CACHE"]},
    }

    policy, applies = changes(wanted, seen)

    assert policy.aspect == POLICY
    assert applies.will == ["CREATE_ON_PUSH", "PULL_THROUGH_CACHE"]


# --- key and tags ---------------------------------------------------------------------------------------


def of_one(ecr: Ecr, **seen: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a single repository is to be, and is, apart from what differs."""
    wanted = dict(wanted_resources(ecr, HERE, bases=[BASE], functions=[], caches=[]))
    del wanted[ACCOUNT]
    return wanted, {BASE: {**wanted[BASE], POLICY: None, **seen}}


def test_a_key_and_tags_are_given_at_the_creation() -> None:
    wanted, _ = of_one(Ecr(kms_key=CMK, tags=(("team", "data"),)))

    (found,) = changes(wanted, {BASE: None})

    assert found.aspect == EXISTENCE
    assert (found.will[KEY], found.will[TAGS]) == (CMK, {"team": "data"})
    assert found.after.endswith(f"; KMS key: {CMK}; tags: team=data")
    assert fixed(wanted, {BASE: None}) == ()


@pytest.mark.parametrize("was", [None, CMK.replace("1234abcd", "00000000")])
def test_the_key_of_a_repository_that_exists_is_told_and_never_changed(was: str | None) -> None:
    wanted, seen = of_one(Ecr(kms_key=CMK), **{KEY: was})

    assert changes(wanted, seen) == ()
    assert fixed(wanted, seen) == (SettingChange(resource=BASE, aspect=KEY, was=was, will=CMK),)


def test_the_key_of_a_repository_is_its_own_matter_without_a_key_in_the_configuration() -> None:
    wanted, seen = of_one(Ecr(), **{KEY: CMK})

    assert (changes(wanted, seen), fixed(wanted, seen)) == ((), ())


def test_tags_of_others_stay_and_case_counts() -> None:
    wanted, seen = of_one(Ecr(tags=(("Team", "data"),)), **{TAGS: {"team": "data", "stage": "dev"}})

    (found,) = changes(wanted, seen)

    assert found.will == {"team": "data", "stage": "dev", "Team": "data"}
    assert (found.before, found.after) == ("stage=dev, team=data", "Team=data, stage=dev, team=data")
    seen[BASE][TAGS] = dict(reversed(found.will.items()))
    assert changes(wanted, seen) == ()


def test_a_template_gets_another_key_and_its_role() -> None:
    role = "arn:aws:iam::123456789012:role/creator"
    ecr = Ecr(kms_key=CMK, template="team", template_role=role)
    wanted = wanted_resources(ecr, HERE, bases=[], functions=[], caches=[])
    seen = {ACCOUNT: {MOUNTING: True}, "template team": {**wanted["template team"], KEY: None, ROLE: None}}
    seen["template team"][POLICY] = merged(None, wanted["template team"][POLICY])

    found = changes(wanted, seen)

    assert {each.aspect: each.will for each in found} == {KEY: CMK, ROLE: role}
    assert fixed(wanted, seen) == ()


def test_a_rule_gets_another_secret_and_keeps_one_that_is_not_configured() -> None:
    ecr = Ecr(pull_through=(CACHED,))
    name = "pull-through cache docker-hub"
    old = {UPSTREAM: {"registry": "registry-1.docker.io", "secret": SECRET.replace("hub", "old")}}
    wanted = wanted_resources(ecr, HERE, bases=[], functions=[], caches=[])

    (change,) = changes(wanted, {ACCOUNT: {MOUNTING: True}, name: old})
    assert (change.aspect, change.after) == (UPSTREAM, f"registry-1.docker.io, {SECRET}")

    public = Ecr(pull_through=(PullThrough(registry="quay.io", prefix="quay"),))
    wanted = wanted_resources(public, HERE, bases=[], functions=[], caches=[])
    theirs = {UPSTREAM: {"registry": "quay.io", "secret": SECRET}}
    assert changes(wanted, {ACCOUNT: {MOUNTING: True}, "pull-through cache quay": theirs}) == ()


def test_the_rules_of_another_accounts_registry_are_left_to_it() -> None:
    there = EcrCaller(partition="aws", account="1" * 12, registry="2" * 12, region="eu-west-1")

    assert wanted_resources(Ecr(pull_through=(CACHED,)), there, bases=[], functions=[], caches=[]) == {}
