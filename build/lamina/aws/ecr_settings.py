"""ECR repositories, creation templates and account settings: one AWS call per aspect."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict, cast

from lamina.aws.clients import Clients
from lamina.aws.ecr_policies import registry_owner, repository_policy
from lamina.aws.errors import aws_errors
from lamina.aws.kms import key_arn
from lamina.json_data import JsonTable

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_ecr.literals import ImageTagMutabilityType, RCTAppliedForType
    from mypy_boto3_ecr.type_defs import (
        EncryptionConfigurationForRepositoryCreationTemplateTypeDef,
        EncryptionConfigurationTypeDef,
        ImageTagMutabilityExclusionFilterTypeDef,
        RepositoryCreationTemplateTypeDef,
        RepositoryTypeDef,
        TagTypeDef,
    )

_MOUNTING = "BLOB_MOUNTING"
_DESCRIPTION = "made by lamina ecr.setup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The caller's account and partition (``aws``, ``aws-cn``) by STS, and the client's region."""

    account: str
    partition: str
    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryFacts:
    """The settings of a repository.

    Attributes:
        mutability: the mode.
        exclusions: tag patterns excluded from it.
        lifecycle, policy: None without one.
        arn: the repository's ARN.
        key: the ARN of its KMS key; None for ECR's own encryption.
    """

    mutability: str
    exclusions: tuple[str, ...]
    scan: bool
    lifecycle: JsonTable | None
    policy: JsonTable | None
    arn: str = ""
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateFacts:
    """A repository creation template.

    Attributes:
        applied: the uses it applies to, such as ``CREATE_ON_PUSH``.
        key: the ARN of a KMS key; None for ECR's own encryption, and when writing, for no change; the same
            for `tags` and `role`, with which ECR creates repositories.
    """

    mutability: str = "MUTABLE"
    exclusions: tuple[str, ...] = ()
    lifecycle: JsonTable | None = None
    policy: JsonTable | None = None
    applied: tuple[str, ...] = ()
    key: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    role: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRule:
    """A pull-through cache rule. url: the registry that is cached. secret: ARN of its credentials' secret."""

    url: str
    secret: str | None


class EcrSetup:
    """Reads and changes the registry of an account. Thread-safe; all methods raise RegistryError.

    Repository names are full names. account: the registry's owner; None for the caller's own registry.
    """

    def __init__(self, clients: Clients, *, account: str | None) -> None:
        self._clients = clients
        self._owner = registry_owner(account)

    def identity(self) -> Identity:
        """Return the caller's identity (STS), which needs no permission."""
        with aws_errors():
            answer = self._clients("sts").get_caller_identity()
            return Identity(
                account=answer["Account"],
                partition=answer["Arn"].split(":")[1],
                region=self._ecr.meta.region_name,
            )

    def repository(self, name: str) -> RepositoryFacts | None:
        """Return the settings of a repository; None when it does not exist."""
        client = self._ecr
        with aws_errors(name):
            try:
                (described,) = client.describe_repositories(repositoryNames=[name], **self._owner)[
                    "repositories"
                ]
            except client.exceptions.RepositoryNotFoundException:
                return None
            try:
                found = client.get_lifecycle_policy(repositoryName=name, **self._owner)
                lifecycle = json.loads(found["lifecyclePolicyText"])
            except client.exceptions.LifecyclePolicyNotFoundException:
                lifecycle = None
            policy = repository_policy(client, name, self._owner)
        return RepositoryFacts(
            mutability=str(described.get("imageTagMutability", "MUTABLE")),
            exclusions=_patterns(described),
            scan=bool(described.get("imageScanningConfiguration", {}).get("scanOnPush")),
            lifecycle=lifecycle,
            policy=policy,
            arn=described.get("repositoryArn", ""),
            key=_key(described),
        )

    def key(self, name: str) -> str:
        """Return the ARN of the KMS key that an alias names."""
        return key_arn(self._clients, name)

    def tags(self, arn: str) -> Mapping[str, str]:
        """Return the tags of a repository."""
        ecr_client = self._ecr
        with aws_errors(arn):
            return _tags(ecr_client.list_tags_for_resource(resourceArn=arn).get("tags", ()))

    def add_tags(self, arn: str, tags: Mapping[str, str]) -> None:
        """Add tags to a repository, or change their values; all others stay."""
        ecr_client = self._ecr
        with aws_errors(arn):
            ecr_client.tag_resource(resourceArn=arn, tags=tag_list(tags))

    def policy(self, name: str) -> JsonTable | None:
        """Return the policy of a repository; None without one."""
        with aws_errors(name):
            return repository_policy(self._ecr, name, self._owner)

    def create(
        self,
        name: str,
        mutability: str,
        exclusions: tuple[str, ...],
        *,
        scan: bool,
        key: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Create a repository; do nothing when it exists."""
        client = self._ecr
        with aws_errors(name):
            try:
                client.create_repository(
                    repositoryName=name,
                    imageScanningConfiguration={"scanOnPush": scan},
                    **creation_parameters(mutability, exclusions, key, tags or {}),
                    **self._owner,
                )
            except client.exceptions.RepositoryAlreadyExistsException:
                return

    def set_mutability(self, name: str, mutability: str, exclusions: tuple[str, ...]) -> None:
        """Set which tags may be moved."""
        client = self._ecr
        with aws_errors(name):
            client.put_image_tag_mutability(
                repositoryName=name, **mutability_parameters(mutability, exclusions), **self._owner
            )

    def set_scan(self, name: str, on: bool) -> None:
        """Set whether images are scanned on push."""
        client = self._ecr
        with aws_errors(name):
            client.put_image_scanning_configuration(
                repositoryName=name, imageScanningConfiguration={"scanOnPush": on}, **self._owner
            )

    def set_lifecycle(self, name: str, document: JsonTable | None) -> None:
        """Set the lifecycle policy; None removes it."""
        client = self._ecr
        with aws_errors(name):
            if document is None:
                client.delete_lifecycle_policy(repositoryName=name, **self._owner)
                return
            client.put_lifecycle_policy(
                repositoryName=name, lifecyclePolicyText=json.dumps(document), **self._owner
            )

    def set_policy(self, name: str, document: JsonTable | None) -> None:
        """Set the repository policy; None removes it."""
        client = self._ecr
        with aws_errors(name):
            if document is None:
                client.delete_repository_policy(repositoryName=name, **self._owner)
                return
            client.set_repository_policy(repositoryName=name, policyText=json.dumps(document), **self._owner)

    def mounting(self) -> bool:
        """Whether blob mounting is on for the caller's account and region."""
        client = self._ecr
        with aws_errors():
            return client.get_account_setting(name=_MOUNTING).get("value") == "ENABLED"

    def set_mounting(self) -> None:
        """Turn blob mounting on."""
        client = self._ecr
        with aws_errors():
            client.put_account_setting(name=_MOUNTING, value="ENABLED")

    def template(self, prefix: str) -> TemplateFacts | None:
        """Return the creation template of a prefix in the caller's account; None when there is none."""
        client = self._ecr
        with aws_errors(f"the template {prefix}"):
            try:
                answer = client.describe_repository_creation_templates(prefixes=[prefix])
            except client.exceptions.TemplateNotFoundException:
                return None
        for each in answer.get("repositoryCreationTemplates", ()):
            return TemplateFacts(
                mutability=str(each.get("imageTagMutability", "MUTABLE")),
                exclusions=_patterns(each),
                lifecycle=_document(each.get("lifecyclePolicy")),
                policy=_document(each.get("repositoryPolicy")),
                applied=tuple(sorted(str(item) for item in each.get("appliedFor", ()))),
                key=_key(each),
                tags=_tags(each.get("resourceTags", ())),
                role=each.get("customRoleArn") or None,
            )
        return None

    def set_template(self, prefix: str, facts: TemplateFacts, *, exists: bool) -> None:
        """Create a template, or update it when it ``exists``."""
        client = self._ecr
        uses = cast("list[RCTAppliedForType]", list(facts.applied))
        mutability = mutability_parameters(facts.mutability, facts.exclusions)
        policies: _Policies = {"lifecyclePolicy": "", "repositoryPolicy": ""} if exists else {}
        if facts.lifecycle:
            policies["lifecyclePolicy"] = json.dumps(facts.lifecycle)
        if facts.policy:
            policies["repositoryPolicy"] = json.dumps(facts.policy)
        if facts.key:
            policies["encryptionConfiguration"] = {"encryptionType": "KMS", "kmsKey": facts.key}
        if facts.tags:
            policies["resourceTags"] = tag_list(facts.tags)
        if facts.role:
            policies["customRoleArn"] = facts.role
        with aws_errors(f"the template {prefix}"):
            if exists:
                client.update_repository_creation_template(
                    prefix=prefix, appliedFor=uses, **mutability, **policies
                )
            else:
                client.create_repository_creation_template(
                    prefix=prefix, description=_DESCRIPTION, appliedFor=uses, **mutability, **policies
                )

    def cache_rule(self, prefix: str) -> CacheRule | None:
        """Return the pull-through cache rule of a prefix in the caller's account; None without one."""
        client = self._ecr
        with aws_errors(f"the pull-through cache {prefix}"):
            try:
                answer = client.describe_pull_through_cache_rules(ecrRepositoryPrefixes=[prefix])
            except client.exceptions.PullThroughCacheRuleNotFoundException:
                return None
        for each in answer.get("pullThroughCacheRules", ()):
            url = each.get("upstreamRegistryUrl", "").removeprefix("https://").rstrip("/")
            return CacheRule(url=url, secret=each.get("credentialArn"))
        return None

    def set_cache_rule(self, prefix: str, rule: CacheRule, *, exists: bool) -> None:
        """Create a rule, or give one that ``exists`` another secret: AWS changes nothing else of a rule."""
        client = self._ecr
        secret: _Secret = {"credentialArn": rule.secret} if rule.secret else {}
        with aws_errors(f"the pull-through cache {prefix}"):
            if exists:
                client.update_pull_through_cache_rule(ecrRepositoryPrefix=prefix, **secret)
            else:
                client.create_pull_through_cache_rule(
                    ecrRepositoryPrefix=prefix, upstreamRegistryUrl=rule.url, **secret
                )

    @property
    def _ecr(self) -> ECRClient:
        with aws_errors():
            return self._clients("ecr")


class _Secret(TypedDict, total=False):
    credentialArn: str


class _Policies(TypedDict, total=False):
    lifecyclePolicy: str
    repositoryPolicy: str
    encryptionConfiguration: EncryptionConfigurationForRepositoryCreationTemplateTypeDef
    resourceTags: list[TagTypeDef]
    customRoleArn: str


class TagMutability(TypedDict, total=False):
    """Parameters of a request: the mode, and the patterns of tags that are excluded from it."""

    imageTagMutability: ImageTagMutabilityType
    imageTagMutabilityExclusionFilters: list[ImageTagMutabilityExclusionFilterTypeDef]


def mutability_parameters(mode: str, exclusions: tuple[str, ...]) -> TagMutability:
    """Return the parameters of a request for tags that do not move, apart from some patterns."""
    given: TagMutability = {"imageTagMutability": cast("ImageTagMutabilityType", mode)}
    if exclusions:
        given["imageTagMutabilityExclusionFilters"] = [
            {"filterType": "WILDCARD", "filter": each} for each in exclusions
        ]
    return given


class NewRepository(TagMutability, total=False):
    """Parameters of a request that creates a repository."""

    encryptionConfiguration: EncryptionConfigurationTypeDef
    tags: list[TagTypeDef]


def creation_parameters(
    mode: str, exclusions: tuple[str, ...], key: str | None, tags: Mapping[str, str]
) -> NewRepository:
    """Return the parameters for a new repository, also what cannot be changed later: its KMS key."""
    given = cast("NewRepository", mutability_parameters(mode, exclusions))
    if key:
        given["encryptionConfiguration"] = {"encryptionType": "KMS", "kmsKey": key}
    if tags:
        given["tags"] = tag_list(tags)
    return given


def tag_list(tags: Mapping[str, str]) -> list[TagTypeDef]:
    """Return tags as ECR's API has them."""
    return [{"Key": name, "Value": value} for name, value in tags.items()]


def _tags(given: Iterable[TagTypeDef]) -> Mapping[str, str]:
    return {each["Key"]: each.get("Value", "") for each in given}


def _key(described: RepositoryTypeDef | RepositoryCreationTemplateTypeDef) -> str | None:
    return described.get("encryptionConfiguration", {}).get("kmsKey") or None


def _patterns(described: RepositoryTypeDef | RepositoryCreationTemplateTypeDef) -> tuple[str, ...]:
    return tuple(sorted(each["filter"] for each in described.get("imageTagMutabilityExclusionFilters") or ()))


def _document(text: str | None) -> JsonTable | None:
    found: JsonTable | None = json.loads(text) if text else None
    return found
