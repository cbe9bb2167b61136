"""The desired repositories as resources for other tools: CloudFormation, Terraform, CDK. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from lamina.aws.templates import StackTemplate, TemplateResource, reference, tag_list, text
from lamina.ecr.desired import (
    ACCOUNT,
    APPLIED,
    CACHE,
    KEY,
    LIFECYCLE,
    MUTABILITY,
    POLICY,
    ROLE,
    SCAN,
    TAGS,
    TEMPLATE,
    UPSTREAM,
    Aspects,
    merged,
)
from lamina.errors import Problem
from lamina.json_data import Json, JsonDocument, as_list, as_table, as_texts

_BY_HAND = Problem(
    what="blob mounting is a setting of the account, for which the format has no resource",
    hint="run once with the account's credentials: invoke ecr.setup",
)


def repositories(wanted: Mapping[str, Aspects], stack: str, others: Sequence[str] = ()) -> StackTemplate:
    """Return repositories and creation templates. They stay if a stack is deleted: functions need images.

    others: other regions with functions, which need a template of their own.
    """
    return StackTemplate(
        name="LaminaRepositories",
        stack=stack,
        command="ecr.setup",
        description="Repositories of Lambda's images",
        resources=tuple(
            next(make for prefix, make in _KINDS.items() if name.startswith(prefix))(name, aspects)
            for name, aspects in wanted.items()
            if name != ACCOUNT
        ),
        notes=(*([_BY_HAND] if ACCOUNT in wanted else []), *_shared(wanted), *map(_not_for, others)),
    )


def _not_for(region: str) -> Problem:
    return Problem(
        what=f"the template is not for {region}: its policies name functions of the registry's own region",
        hint=f'print another one with a stack that has region = "{region}" for ecr (docs/ecr.md)',
    )


def _shared(wanted: Iterable[str]) -> Iterator[Problem]:
    """Yield a note if a template has what an account has once, and the template of each stack repeats."""
    if names := [each for each in wanted if each.startswith((TEMPLATE, CACHE))]:
        yield Problem(
            what=f"{', '.join(names)}: once in an account and region, so a second stack's template fails",
            hint="remove them from the templates of all stacks but one",
        )


def _repository(name: str, aspects: Aspects) -> TemplateResource:
    lifecycle, policy = as_table(aspects[LIFECYCLE]), _policy(aspects)
    tags = as_table(aspects.get(TAGS))
    repository = reference("aws_ecr_repository", name, "name")
    return TemplateResource(
        name=name,
        type="AWS::ECR::Repository",
        kept=True,
        properties={
            "RepositoryName": name,
            **_mutability(aspects),
            "ImageScanningConfiguration": {"ScanOnPush": aspects[SCAN]},
            **_encryption(aspects),
            **({"Tags": tag_list(tags)} if tags else {}),
            **({"LifecyclePolicy": {"LifecyclePolicyText": json.dumps(lifecycle)}} if lifecycle else {}),
            **({"RepositoryPolicyText": policy} if policy else {}),
        },
        terraform={
            "aws_ecr_repository": {
                "name": name,
                **_terraform(aspects),
                "image_scanning_configuration": {"scan_on_push": aspects[SCAN]},
                **({"tags": tags} if tags else {}),
                "lifecycle": {"prevent_destroy": True},
            },
            **{
                f"aws_ecr_{kind}_policy": {"repository": repository, "policy": text(document)}
                for kind, document in (("repository", policy), ("lifecycle", lifecycle))
                if document
            },
        },
    )


def _template(name: str, aspects: Aspects) -> TemplateResource:
    policy, tags = _policy(aspects), as_table(aspects.get(TAGS))
    prefix, applied = name.removeprefix(TEMPLATE), list(as_texts(aspects[APPLIED]))
    return TemplateResource(
        name=name,
        type="AWS::ECR::RepositoryCreationTemplate",
        kept=True,
        properties={
            "Prefix": prefix,
            "AppliedFor": [*applied],
            **_mutability(aspects),
            **({"RepositoryPolicy": json.dumps(policy)} if policy else {}),
            **_encryption(aspects),
            **({"ResourceTags": tag_list(tags)} if tags else {}),
            **({"CustomRoleArn": aspects[ROLE]} if ROLE in aspects else {}),
        },
        terraform={
            "aws_ecr_repository_creation_template": {
                "prefix": prefix,
                "applied_for": [*applied],
                **_terraform(aspects),
                **({"repository_policy": text(policy)} if policy else {}),
                **({"resource_tags": tags} if tags else {}),
                **({"custom_role_arn": aspects[ROLE]} if ROLE in aspects else {}),
            }
        },
    )


def _cache(name: str, aspects: Aspects) -> TemplateResource:
    rule, prefix = as_table(aspects[UPSTREAM]), name.removeprefix(CACHE)
    return TemplateResource(
        name=name,
        type="AWS::ECR::PullThroughCacheRule",
        kept=True,
        properties={
            "EcrRepositoryPrefix": prefix,
            "UpstreamRegistryUrl": rule["registry"],
            **({"CredentialArn": rule["secret"]} if rule["secret"] else {}),
        },
        terraform={
            "aws_ecr_pull_through_cache_rule": {
                "ecr_repository_prefix": prefix,
                "upstream_registry_url": rule["registry"],
                **({"credential_arn": rule["secret"]} if rule["secret"] else {}),
            }
        },
    )


_KINDS: Mapping[str, Callable[[str, Aspects], TemplateResource]] = {
    TEMPLATE: _template,
    CACHE: _cache,
    "": _repository,
}
"""Beginning of a resource's name -> what makes it; the first that fits."""


def _mutability(aspects: Aspects) -> JsonDocument:
    kind, value = (f"ImageTagMutabilityExclusionFilter{each}" for each in ("Type", "Value"))
    found: list[Json] = [{kind: "WILDCARD", value: each} for each in _excluded(aspects)]
    return {
        "ImageTagMutability": as_table(aspects[MUTABILITY])["mode"],
        **({"ImageTagMutabilityExclusionFilters": found} if found else {}),
    }


def _encryption(aspects: Aspects) -> JsonDocument:
    if KEY not in aspects:
        return {}
    return {"EncryptionConfiguration": {"EncryptionType": "KMS", "KmsKey": aspects[KEY]}}


def _terraform(aspects: Aspects) -> JsonDocument:
    excluded: list[Json] = [{"filter": each, "filter_type": "WILDCARD"} for each in _excluded(aspects)]
    key: JsonDocument = {"encryption_type": "KMS", "kms_key": aspects.get(KEY)}
    return {
        "image_tag_mutability": as_table(aspects[MUTABILITY])["mode"],
        **({"image_tag_mutability_exclusion_filter": excluded} if excluded else {}),
        **({"encryption_configuration": key} if KEY in aspects else {}),
    }


def _policy(aspects: Aspects) -> Mapping[str, Json]:
    return merged(None, as_list(aspects[POLICY])) or {}


def _excluded(aspects: Aspects) -> tuple[str, ...]:
    return as_texts(as_table(aspects[MUTABILITY])["except"])
