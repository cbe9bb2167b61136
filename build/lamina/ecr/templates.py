"""The desired repositories as a template of CloudFormation, or as Terraform's configuration in JSON. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping

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
from lamina.errors import ConfigError, Problem, unknown_format
from lamina.json_data import Json, JsonDocument, as_list, as_table, as_texts

Resources = Mapping[str, Aspects]
BY_HAND = Problem(
    what="blob mounting is a setting of the account, for which the format has no resource",
    hint="run once with the account's credentials: invoke ecr.setup",
)
"""Said if the account has to be set up, too."""
_NO_WORD = re.compile(r"[^a-zA-Z0-9]+")


def render(form: str, wanted: Resources) -> str:
    """Return the repositories and templates in one of `FORMATS`."""
    made = {name: aspects for name, aspects in wanted.items() if name != ACCOUNT}
    return json.dumps(FORMATS[form](made), indent=2) + "\n"


def check_format(form: str) -> None:
    """Raise ConfigError if a format is unknown."""
    if form not in FORMATS:
        raise ConfigError(unknown_format(form, tuple(FORMATS)))


def as_cloudformation(wanted: Resources) -> JsonDocument:
    """Return a template. Its repositories stay when the stack is deleted: functions need their images."""
    resources: JsonDocument = {}
    for name, aspects in wanted.items():
        kind, properties = next(each for prefix, each in _KINDS.items() if name.startswith(prefix))
        resources[_logical(name)] = {
            "Type": f"AWS::ECR::{kind}",
            "DeletionPolicy": "Retain",
            "UpdateReplacePolicy": "Retain",
            "Properties": properties(name, aspects),
        }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Repositories of Lambda's images, made by lamina ecr.setup --format cloudformation",
        "Resources": resources,
    }


def _repository(name: str, aspects: Aspects) -> JsonDocument:
    lifecycle, policy = as_table(aspects[LIFECYCLE]), _policy(aspects)
    return {
        "RepositoryName": name,
        "ImageTagMutability": as_table(aspects[MUTABILITY])["mode"],
        **_filters(aspects),
        "ImageScanningConfiguration": {"ScanOnPush": aspects[SCAN]},
        **_encryption(aspects),
        **({"Tags": _tag_list(aspects)} if TAGS in aspects else {}),
        **({"LifecyclePolicy": {"LifecyclePolicyText": json.dumps(lifecycle)}} if lifecycle else {}),
        **({"RepositoryPolicyText": policy} if policy else {}),
    }


def _template(name: str, aspects: Aspects) -> JsonDocument:
    policy = _policy(aspects)
    return {
        "Prefix": name.removeprefix(TEMPLATE),
        "AppliedFor": list(as_texts(aspects[APPLIED])),
        "ImageTagMutability": as_table(aspects[MUTABILITY])["mode"],
        **_filters(aspects),
        **({"RepositoryPolicy": json.dumps(policy)} if policy else {}),
        **_encryption(aspects),
        **({"ResourceTags": _tag_list(aspects)} if TAGS in aspects else {}),
        **({"CustomRoleArn": aspects[ROLE]} if ROLE in aspects else {}),
    }


def _encryption(aspects: Aspects) -> JsonDocument:
    if KEY not in aspects:
        return {}
    return {"EncryptionConfiguration": {"EncryptionType": "KMS", "KmsKey": aspects[KEY]}}


def _tag_list(aspects: Aspects) -> list[Json]:
    return [{"Key": name, "Value": value} for name, value in as_table(aspects[TAGS]).items()]


def _cache(name: str, aspects: Aspects) -> JsonDocument:
    rule = as_table(aspects[UPSTREAM])
    return {
        "EcrRepositoryPrefix": name.removeprefix(CACHE),
        "UpstreamRegistryUrl": rule["registry"],
        **({"CredentialArn": rule["secret"]} if rule["secret"] else {}),
    }


_KINDS: Mapping[str, tuple[str, Callable[[str, Aspects], JsonDocument]]] = {
    TEMPLATE: ("RepositoryCreationTemplate", _template),
    CACHE: ("PullThroughCacheRule", _cache),
    "": ("Repository", _repository),
}
"""Beginning of a resource's name -> its type, and what makes its properties; the first that fits."""


def _filters(aspects: Aspects) -> JsonDocument:
    kind, value = (f"ImageTagMutabilityExclusionFilter{each}" for each in ("Type", "Value"))
    found: list[Json] = [{kind: "WILDCARD", value: each} for each in _excluded(aspects)]
    return {"ImageTagMutabilityExclusionFilters": found} if found else {}


def as_terraform(wanted: Resources) -> JsonDocument:
    """Return a configuration for a file ``….tf.json``. Terraform does not destroy its repositories.

    https://developer.hashicorp.com/terraform/language/syntax/json
    """
    kinds: dict[str, JsonDocument] = {}
    for name, aspects in wanted.items():
        label = _label(name)
        if name.startswith(CACHE):
            rule = as_table(aspects[UPSTREAM])
            kinds.setdefault("aws_ecr_pull_through_cache_rule", {})[label] = {
                "ecr_repository_prefix": name.removeprefix(CACHE),
                "upstream_registry_url": rule["registry"],
                **({"credential_arn": rule["secret"]} if rule["secret"] else {}),
            }
            continue
        policy = _policy(aspects)
        excluded: list[Json] = [{"filter": each, "filter_type": "WILDCARD"} for each in _excluded(aspects)]
        settings: JsonDocument = {
            "image_tag_mutability": as_table(aspects[MUTABILITY])["mode"],
            **({"image_tag_mutability_exclusion_filter": excluded} if excluded else {}),
        }
        if KEY in aspects:
            settings["encryption_configuration"] = {"encryption_type": "KMS", "kms_key": aspects[KEY]}
        tags = as_table(aspects.get(TAGS))
        if name.startswith(TEMPLATE):
            kinds.setdefault("aws_ecr_repository_creation_template", {})[label] = {
                "prefix": name.removeprefix(TEMPLATE),
                "applied_for": list(as_texts(aspects[APPLIED])),
                **settings,
                **({"repository_policy": _text(policy)} if policy else {}),
                **({"resource_tags": tags} if tags else {}),
                **({"custom_role_arn": aspects[ROLE]} if ROLE in aspects else {}),
            }
            continue
        kinds.setdefault("aws_ecr_repository", {})[label] = {
            "name": name,
            **settings,
            "image_scanning_configuration": {"scan_on_push": aspects[SCAN]},
            **({"tags": tags} if tags else {}),
            "lifecycle": {"prevent_destroy": True},
        }
        repository = f"${{aws_ecr_repository.{label}.name}}"
        for kind, document in (("repository", policy), ("lifecycle", as_table(aspects[LIFECYCLE]))):
            if document:
                kinds.setdefault(f"aws_ecr_{kind}_policy", {})[label] = {
                    "repository": repository,
                    "policy": _text(document),
                }
    return {"resource": kinds}


FORMATS: Mapping[str, Callable[[Resources], JsonDocument]] = {
    "cloudformation": as_cloudformation,
    "terraform": as_terraform,
}


def _policy(aspects: Aspects) -> Mapping[str, Json]:
    return merged(None, as_list(aspects[POLICY])) or {}


def _excluded(aspects: Aspects) -> tuple[str, ...]:
    return as_texts(as_table(aspects[MUTABILITY])["except"])


def _text(document: Mapping[str, Json]) -> str:
    """Return a document as a string of Terraform, in which ``${`` and ``%{`` begin expressions."""
    return json.dumps(document).replace("${", "$${").replace("%{", "%%{")


def _logical(name: str) -> str:
    """Return a logical id: its words, and a part of its hash, as different names may have the same words."""
    return "".join(each.capitalize() for each in _NO_WORD.split(name)) + _hash(name)


def _label(name: str) -> str:
    """Return a name in Terraform, which does not begin with a digit."""
    return f"{'_' if name[:1].isdigit() else ''}{_NO_WORD.sub('_', name)}_{_hash(name)}"


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:6]
