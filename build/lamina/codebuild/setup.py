"""Set up an account for CodeBuild: compare it with the configuration, and apply the changes."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace

from lamina.aws.clients import Access
from lamina.aws.codebuild import CodeBuild
from lamina.aws.kms import key_arn
from lamina.aws.source_bucket import SourceBucket
from lamina.aws.templates import StackTemplate
from lamina.codebuild.bucket import EXPIRY, KEY, BucketFacts, bucket_changes, encrypted_by, merged_rules
from lamina.codebuild.build import (
    aws_clients,
    elsewhere,
    lacking_registry,
    lacking_setting,
    outside_images,
)
from lamina.codebuild.limits import no_machine
from lamina.codebuild.project import (
    TAGS,
    CodeBuildAccount,
    ProjectChange,
    caller_policy,
    project_changes,
    project_definition,
    project_update,
    role_policy,
    trust_policy,
)
from lamina.codebuild.templates import builds
from lamina.declare.codebuild import ARCHITECTURES, CodeBuildSettings
from lamina.errors import ConfigError, Problem
from lamina.flow.cache import read_policy
from lamina.flow.session import Session
from lamina.json_data import JsonTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """The comparison.

    Attributes:
        settings: with the ARN of the key.
        bucket, projects: changes.
        existing: by project.
        policies: name -> document.
    """

    settings: CodeBuildSettings
    bucket: tuple[ProjectChange, ...]
    has_bucket: bool
    projects: Mapping[str, tuple[ProjectChange, ...]]
    definitions: Mapping[str, JsonTable]
    existing: Mapping[str, JsonTable]
    policies: Mapping[str, JsonTable]

    @property
    def changes(self) -> tuple[ProjectChange, ...]:
        """All changes, in the order in which they are applied."""
        return (*self.bucket, *(change for changes in self.projects.values() for change in changes))


def desired(session: Session) -> tuple[CodeBuildSettings, Mapping[str, JsonTable]]:
    """Return the settings with the ARN of the key, and the definitions of the projects by name.

    AWS is asked only which key an alias names. Raises ConfigError, AwsError.
    """
    settings = session.project.codebuild
    ConfigError.check(
        (
            *lacking_registry(session),
            *([lacking_setting("bucket", "the bucket for sources")] if settings.bucket is None else []),
        )
    )
    architectures = architectures_of(session)
    if settings.kms_key:
        settings = replace(settings, kms_key=key_arn(aws_clients(session), settings.kms_key))
    made = (project_definition(settings, name) for name in architectures)
    return settings, {str(each["name"]): each for each in made}


def read_setup(session: Session) -> Setup:
    """Compare the account with the configuration without changes. Raises ConfigError, AwsError."""
    settings, definitions = desired(session)
    clients = aws_clients(session)
    codebuild, bucket = CodeBuild(clients), SourceBucket(str(settings.bucket), clients)
    ConfigError.check(elsewhere(bucket, codebuild))
    found = _facts(bucket, settings) if bucket.exists() else None
    existing = codebuild.projects(definitions)
    return Setup(
        settings=settings,
        bucket=tuple(bucket_changes(settings, found)),
        has_bucket=found is not None,
        projects={
            name: tuple(project_changes(each, existing.get(name))) for name, each in definitions.items()
        },
        definitions=definitions,
        existing=existing,
        policies=_policies(session, settings, codebuild),
    )


def read_policies(session: Session) -> Mapping[str, JsonTable]:
    """Return the policies for the caller's account; see `_policies`. Raises ConfigError, AwsError."""
    settings, _ = desired(session)
    return _policies(session, settings, CodeBuild(aws_clients(session)))


def _policies(session: Session, settings: CodeBuildSettings, codebuild: CodeBuild) -> Mapping[str, JsonTable]:
    """Return the policies by name: who may assume the role of builds, what it may do, and its callers."""
    architectures, repositories = architectures_of(session), repositories_of(session)
    caller, ecr = codebuild.caller(), session.project.ecr
    account = CodeBuildAccount(
        partition=caller.partition,
        account=caller.account,
        region=codebuild.region,
        registry_account=ecr.account or caller.account,
        registry_region=CodeBuild(session.aws(Access(region=ecr.region))).region,
    )
    caches = [each.prefix for each in ecr.pull_through]
    return {
        "trust": trust_policy(settings, account, architectures),
        "role": role_policy(settings, account, architectures, repositories, outside_images(session), caches),
        "caller": caller_policy(settings, account, architectures, repositories, caches, ecr.role),
    }


def template(session: Session) -> StackTemplate:
    """Return what `apply_setup` would create. Raises ConfigError, also without a role, and AwsError."""
    ConfigError.check(lacking_role(session))
    return builds(*desired(session), session.project.stack.name)


def _facts(bucket: SourceBucket, settings: CodeBuildSettings) -> BucketFacts:
    """Read a bucket; what is not configured is not read, so that it needs no permission."""
    return BucketFacts(
        rules=bucket.rules(),
        encryption=bucket.encryption() if settings.kms_key else {},
        tags=bucket.tags() if settings.tags else {},
    )


def lacking_role(session: Session) -> tuple[Problem, ...]:
    """Return a problem unless a role is configured."""
    if session.project.codebuild.role:
        return ()
    return (
        Problem(
            what="the role of builds is not configured",
            where="[tool.lamina.codebuild] role",
            allowed="the ARN of a role with the policies `trust` and `role`",
            hint="invoke codebuild.setup --dry-run prints them; create the role, and name it there",
        ),
    )


def apply_setup(session: Session, setup: Setup) -> None:
    """Apply the changes and report each. An interrupted setup is completed by the next run."""
    ConfigError.check(lacking_role(session))
    clients = aws_clients(session)
    codebuild, bucket = CodeBuild(clients), SourceBucket(str(setup.settings.bucket), clients)
    if setup.bucket:
        if not setup.has_bucket:
            bucket.create(codebuild.region)
        _change_bucket(bucket, setup.settings, {each.setting for each in setup.bucket})
        session.screen.say(f"bucket {bucket.name} is up to date")
    for name, changes in setup.projects.items():
        definition = setup.definitions[name]
        if name not in setup.existing:
            codebuild.create_project(definition)
        elif changes:
            codebuild.update_project(name, project_update(definition, setup.existing[name], changes))
        if changes:
            session.screen.say(f"project {name} is up to date")


def _change_bucket(bucket: SourceBucket, settings: CodeBuildSettings, changed: Container[str]) -> None:
    """Change settings of the bucket; those of others in the same list are read again just before."""
    if KEY in changed and settings.kms_key:
        bucket.set_encryption(encrypted_by(settings.kms_key, bucket.encryption()))
    if TAGS in changed:
        bucket.set_tags({**bucket.tags(), **dict(settings.tags)})
    if EXPIRY in changed:
        bucket.change_rules(merged_rules)


def architectures_of(session: Session) -> tuple[str, ...]:
    """Return the architectures of the project's images."""
    platforms = {node.spec.platform.split("/")[1]: node.spec for node in session.graph.nodes.values()}
    ConfigError.check(
        no_machine(spec.platform, spec.source)
        for name, spec in platforms.items()
        if name not in ARCHITECTURES
    )
    return tuple(name for name in ARCHITECTURES if name in platforms)


def repositories_of(session: Session) -> tuple[str, ...]:
    """Return the full names of the repositories of images and caches."""
    prefix = session.project.settings.registry.partition("/")[2].strip("/")
    policy = read_policy(session)
    own = [session.project.repository(image) for image in session.graph.nodes]
    names = (*own, *(policy.name(name) for name in own if policy.mode != "off"))
    return tuple(f"{prefix}/{name}" if prefix else name for name in dict.fromkeys(names))
