from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from lamina.iam.policies import DOCUMENTS, PolicyScope, policy
from lamina.iam.templates import MOST_MANAGED, policies_template, role_of_builds

HERE = PolicyScope(
    partition="aws",
    account="111111111111",
    region="eu-west-1",
    registry_account="222222222222",
    registry_region="eu-central-1",
    repositories=("team/*",),
)
KEY = "arn:aws:kms:eu-central-1:222222222222:key/1"
KEY_THERE = "arn:aws:kms:us-east-1:222222222222:key/2"
LOOK_IN = "arn:aws:iam::333333333333:role/gc"
FULL = replace(
    HERE,
    regions=("us-east-1",),
    functions_in=("us-east-1",),
    caches=("hub/*",),
    key=KEY,
    keys_there=(KEY_THERE,),
    roles={
        "OnlyForRolesInLookIn": (LOOK_IN,),
        "OnlyForTemplateRole": ("arn:aws:iam::222222222222:role/t",),
        "OnlyForTheRoleOfTheRegistry": ("arn:aws:iam::222222222222:role/images",),
        "OnlyForTheRoleOfTheStack": ("arn:aws:iam::111111111111:role/deploys",),
    },
)


def by_name(document: Any) -> dict[str, Any]:
    return {each["Sid"]: each for each in document["Statement"]}


def test_every_placeholder_is_filled() -> None:
    for scope in (HERE, FULL, replace(FULL, partition="aws-cn")):
        text = json.dumps([policy(name, scope) for name in DOCUMENTS])
        assert not [word for word in ("REGION", "ACCOUNT", "PREFIX", "/KEY", "/ROLE") if word in text]
    assert "arn:aws:lambda" not in json.dumps(policy("deploy", replace(HERE, partition="aws-cn")))


def test_repositories_are_those_of_the_registry_and_functions_those_of_the_stack() -> None:
    found = by_name(policy("deploy", HERE))

    assert found["Look"]["Resource"] == "arn:aws:ecr:eu-central-1:222222222222:repository/team/*"
    assert found["Update"]["Resource"] == "arn:aws:lambda:eu-west-1:111111111111:function:*"
    two = by_name(policy("build", replace(HERE, repositories=("a-dev", "b-dev"))))
    assert two["Push"]["Resource"] == [
        f"arn:aws:ecr:eu-central-1:222222222222:repository/{name}" for name in ("a-dev", "b-dev")
    ]


def test_what_a_project_does_not_have_needs_no_permission() -> None:
    bare = {name: by_name(policy(name, HERE)) for name in DOCUMENTS}
    full = {name: by_name(policy(name, FULL)) for name in DOCUMENTS}

    left_out = {(name, each) for name in DOCUMENTS for each in full[name].keys() - bare[name].keys()}
    assert left_out == {
        ("setup", "OnlyForKmsKey"),
        ("setup", "OnlyForPullThroughCaches"),
        ("setup", "OnlyForTemplateRole"),
        ("setup", "OnlyForTheFirstPullThroughCache"),
        ("build", "OnlyForPullThroughCaches"),
        ("build", "OnlyForTheFlagCreateWithKmsKey"),
        ("deploy", "OnlyForRegions"),
        ("gc", "OnlyForRolesInLookIn"),
        *((name, "OnlyForTheRoleOfTheRegistry") for name in ("setup", "build", "deploy", "gc")),
        *((name, "OnlyForTheRoleOfTheStack") for name in ("deploy", "gc", "outputs")),
    }
    assert full["gc"]["OnlyForRolesInLookIn"]["Resource"] == LOOK_IN
    assert full["deploy"]["OnlyForRegions"]["Resource"] == [
        f"arn:aws:ecr:{region}:222222222222:repository/team/*" for region in ("eu-central-1", "us-east-1")
    ]
    assert full["deploy"]["Update"]["Resource"] == [
        f"arn:aws:lambda:{region}:111111111111:function:*" for region in ("eu-west-1", "us-east-1")
    ]
    assert full["setup"]["OnlyForKmsKey"]["Resource"] == [KEY, KEY_THERE]
    assert full["build"]["OnlyForTheFlagCreateWithKmsKey"]["Resource"] == KEY
    assert by_name(policy("setup", replace(FULL, unused=("OnlyForTags",)))).keys() == full["setup"].keys() - {
        "OnlyForTags"
    }
    assert full["build"]["OnlyForPullThroughCaches"]["Resource"].endswith(":repository/hub/*")
    assert ":222222222222:" in full["setup"]["OnlyForTheFirstPullThroughCache"]["Resource"]


def test_repositories_are_set_up_in_each_region_that_gets_images() -> None:
    found = by_name(policy("setup", FULL))

    for name in ("Repositories", "OnlyForTags"):
        assert found[name]["Resource"] == [
            f"arn:aws:ecr:{region}:222222222222:repository/team/*" for region in ("eu-central-1", "us-east-1")
        ]


def test_lambda_gets_what_it_checks_of_an_image_in_every_region() -> None:
    found = by_name(policy("deploy", FULL))

    assert {*found["Look"]["Action"]} <= {*found["OnlyForRegions"]["Action"]}


def test_a_region_that_is_named_twice_is_in_a_policy_once() -> None:
    both = replace(FULL, regions=(FULL.registry_region, "us-east-1"), keys_there=(KEY, KEY_THERE))

    assert policy("setup", both) == policy("setup", FULL)


def test_a_policy_that_iam_would_refuse_is_noted() -> None:
    many = tuple(f"lambda-function-number-{number}-dev" for number in range(99))
    documents = {"build": policy("build", replace(HERE, repositories=many)), "gc": policy("gc", HERE)}
    role = role_of_builds("arn:aws:iam::111111111111:role/x/y/z", {}, documents["build"], {})

    (note, of_role) = policies_template(documents, "dev", role).notes
    assert note.what == "the policy build is too long for IAM: it names every repository"
    assert note.allowed.startswith(str(MOST_MANAGED))
    assert of_role.what.startswith("the policy codebuild is too long")
    assert (role.properties["Path"], role.properties["RoleName"]) == ("/x/y/", "z")
