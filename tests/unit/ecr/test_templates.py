"""The desired repositories for other tools: each document is checked by the tool's own rules."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from cfnlint.api import ManualArgs, lint

from lamina.aws.formats import FORMATS, check_format, render
from lamina.declare.ecr import Ecr
from lamina.ecr.desired import ACCOUNT, Aspects, EcrCaller, wanted_resources
from lamina.ecr.templates import repositories
from lamina.errors import ConfigError
from lamina.refs import PullThrough

HERE = EcrCaller(partition="aws", account="123456789012", registry="123456789012", region="eu-west-1")
BASE, FUNCTION, CACHE = "team/base-dev", "team/app-dev", "team/app-dev-cache"


def wanted(ecr: Ecr, **more: Any) -> Mapping[str, Aspects]:
    names = {"bases": [BASE], "functions": [FUNCTION], "caches": [CACHE], **more}
    return wanted_resources(ecr, HERE, **names)


CMK = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
CREATOR = "arn:aws:iam::123456789012:role/creator"
TAGGED = Ecr(kms_key=CMK, tags=(("team", "data"),), template="team", template_role=CREATOR)
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:ecr-pullthroughcache/hub-AbCdEf"
CACHES = (
    PullThrough(registry="public.ecr.aws", prefix="ecr-public"),
    PullThrough(registry="docker.io", prefix="docker-hub", secret=SECRET),
)


def printed(form: str, resources: Mapping[str, Aspects]) -> str:
    return render(form, repositories(resources, "dev"))


EVERYTHING = [
    TAGGED,
    Ecr(pull_through=CACHES),
    Ecr(),
    Ecr(readers=("210987654321",), template="team"),
    Ecr(template="ROOT"),
    Ecr(cache_days=9),
]


@pytest.mark.parametrize("ecr", EVERYTHING)
def test_cfn_lint_finds_nothing_in_a_template(ecr: Ecr) -> None:
    text = printed("cloudformation", wanted(ecr))

    assert [str(each) for each in lint(text, config=ManualArgs(regions=["eu-west-1"]))] == []


def test_cfn_lint_would_find_a_property_that_does_not_exist() -> None:
    text = printed("cloudformation", wanted(Ecr())).replace("ImageTagMutability", "ImageTagMutable")

    assert lint(text, config=ManualArgs(regions=["eu-west-1"]))


def test_a_template_has_every_repository_as_the_setup_would_make_it() -> None:
    made = json.loads(printed("cloudformation", wanted(Ecr(cache_days=9, readers=("210987654321",)))))
    found = {each["Properties"]["RepositoryName"]: each for each in made["Resources"].values()}

    assert set(found) == {BASE, FUNCTION, CACHE}
    assert {each["DeletionPolicy"] for each in found.values()} == {"Retain"}
    policies = {
        name: [each["Sid"] for each in found[name]["Properties"]["RepositoryPolicyText"]["Statement"]]
        for name in (BASE, FUNCTION)
    }
    assert policies == {BASE: ["LaminaReadersPull"], FUNCTION: ["LaminaFunctionsPull", "LaminaReadersPull"]}
    cache = found[CACHE]["Properties"]
    rules = json.loads(cache["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
    assert [each["selection"]["countNumber"] for each in rules] == [14, 9]
    assert (cache["ImageTagMutability"], "RepositoryPolicyText" in cache) == ("MUTABLE", False)


def test_both_have_the_rules_of_pull_through_caches() -> None:
    ecr = Ecr(pull_through=CACHES)
    made = json.loads(printed("cloudformation", wanted(ecr)))["Resources"].values()
    rules = [each["Properties"] for each in made if each["Type"] == "AWS::ECR::PullThroughCacheRule"]
    terraform = json.loads(printed("terraform", wanted(ecr)))["resource"]["aws_ecr_pull_through_cache_rule"]

    assert rules == [
        {"EcrRepositoryPrefix": "ecr-public", "UpstreamRegistryUrl": "public.ecr.aws"},
        {
            "EcrRepositoryPrefix": "docker-hub",
            "UpstreamRegistryUrl": "registry-1.docker.io",
            "CredentialArn": SECRET,
        },
    ]
    assert list(terraform.values()) == [
        {"ecr_repository_prefix": "ecr-public", "upstream_registry_url": "public.ecr.aws"},
        {
            "ecr_repository_prefix": "docker-hub",
            "upstream_registry_url": "registry-1.docker.io",
            "credential_arn": SECRET,
        },
    ]


def test_a_note_names_what_the_template_of_a_second_stack_cannot_make_again() -> None:
    def notes(ecr: Ecr) -> list[str]:
        return [each.what.partition(":")[0] for each in repositories(wanted(ecr), "dev").notes]

    assert notes(Ecr(blob_mounting=False)) == []
    (found,) = notes(Ecr(blob_mounting=False, pull_through=CACHES, template="team"))
    assert all(name in found for name in ("template team", "cache ecr-public", "cache docker-hub"))


def test_a_template_says_for_which_regions_it_is_not() -> None:
    (note,) = repositories(wanted(Ecr(blob_mounting=False)), "dev", ("us-east-1",)).notes

    assert note.what.startswith("the template is not for us-east-1: ")


def test_terraform_has_every_repository_and_destroys_none() -> None:
    made = json.loads(printed("terraform", wanted(Ecr(template="team"))))["resource"]

    repositories = made["aws_ecr_repository"]
    assert {each["name"] for each in repositories.values()} == {BASE, FUNCTION, CACHE}
    assert all(each["lifecycle"] == {"prevent_destroy": True} for each in repositories.values())
    ((label, policy),) = made["aws_ecr_repository_policy"].items()
    assert repositories[label]["name"] == FUNCTION
    assert policy["repository"] == f"${{aws_ecr_repository.{label}.name}}"
    assert json.loads(policy["policy"])["Statement"][0]["Sid"] == "LaminaFunctionsPull"
    (template,) = made["aws_ecr_repository_creation_template"].values()
    assert (template["prefix"], template["applied_for"]) == ("team", ["CREATE_ON_PUSH"])
    exclusions = {each["filter"] for each in template["image_tag_mutability_exclusion_filter"]}
    assert exclusions == {"append-*", "cache-*", "git-*", "stable"}


@pytest.mark.parametrize("form", FORMATS)
def test_names_of_the_same_words_are_not_one_resource(form: str) -> None:
    text = printed(
        form, wanted(Ecr(blob_mounting=False), bases=["a-b", "a_b", "a/b"], functions=[], caches=[])
    )

    assert all(text.count(f'"{name}"') == 1 for name in ("a-b", "a_b", "a/b"))


def test_the_account_is_no_resource_and_an_unknown_format_is_refused() -> None:
    assert ACCOUNT in wanted(Ecr())
    assert "MOUNTING" not in printed("terraform", wanted(Ecr())).upper()
    with pytest.raises(ConfigError, match="xml"):
        check_format("xml")


def test_a_repository_that_begins_with_a_digit_has_a_name_in_terraform() -> None:
    made = json.loads(printed("terraform", wanted(Ecr(), functions=["2nd/app-dev"])))["resource"]

    labels = [label for some in made.values() for label in some]
    assert all(re.fullmatch(r"[a-z_][a-z0-9_]*", each) for each in labels)


def test_each_format_has_the_key_the_tags_and_the_role() -> None:
    stack = json.loads(printed("cloudformation", wanted(TAGGED)))["Resources"].values()
    (template,) = (each["Properties"] for each in stack if "Prefix" in each["Properties"])
    repositories = [each["Properties"] for each in stack if "RepositoryName" in each["Properties"]]
    encryption, tags = {"EncryptionType": "KMS", "KmsKey": CMK}, [{"Key": "team", "Value": "data"}]
    assert len(repositories) == 3
    for each in (template, *repositories):
        assert each["EncryptionConfiguration"] == encryption
        assert each.get("Tags", each.get("ResourceTags")) == tags
    assert template["CustomRoleArn"] == CREATOR

    made = json.loads(printed("terraform", wanted(TAGGED)))["resource"]
    (planned,) = made["aws_ecr_repository_creation_template"].values()
    assert (planned["resource_tags"], planned["custom_role_arn"]) == ({"team": "data"}, CREATOR)
    for each in (planned, *made["aws_ecr_repository"].values()):
        assert each["encryption_configuration"] == {"encryption_type": "KMS", "kms_key": CMK}
        assert each.get("tags", {"team": "data"}) == {"team": "data"}
    assert all("tags" in each for each in made["aws_ecr_repository"].values())
