"""The projects, bucket and policies that CodeBuild needs, and how an account differs from them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lamina.codebuild.buildspec import RETURNS, SOURCES
from lamina.declare.codebuild import ARCHITECTURES, PARAMETER, CodeBuildSettings
from lamina.json_data import Json, JsonDocument, JsonTable, as_list, as_table
from lamina.refs import EcrHost, Reference

_NOT_BY_HAND = (
    'version: 0.2\nphases: {build: {commands: ["echo start this with invoke codebuild.build", "exit 1"]}}\n'
)
TAGS = "tags"
_AWS_IMAGES = "aws/codebuild/"
_MOST_SHOWN = 60
_WAITS = (5, 480)  # minutes; AWS' limits for the wait for a machine
_IMPORT = "ecr:BatchImportUpstreamImage"
_PULL = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
_USE_KEY = (
    *("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"),
    *("kms:ReEncryptFrom", "kms:ReEncryptTo"),
)
"""https://docs.aws.amazon.com/codebuild/latest/userguide/setting-up-kms.html"""
_PUSH = ("ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectChange:
    """A setting to change.

    Attributes:
        what: the resource.
        before: the current value, None without one.
    """

    what: str
    setting: str
    before: str | None
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeBuildAccount:
    """The account and region of the builds, and those of the registry."""

    partition: str
    account: str
    region: str
    registry_account: str
    registry_region: str

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource in the account and region of the builds."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def repository(self, name: str) -> str:
        """Return the ARN of a repository."""
        return f"arn:{self.partition}:ecr:{self.registry_region}:{self.registry_account}:repository/{name}"


def project_definition(settings: CodeBuildSettings, architecture: str) -> JsonTable:
    """Return a project's definition for CreateProject. Source and buildspec are overridden at every start."""
    kind, _ = ARCHITECTURES[architecture]
    image = settings.image_of(architecture)
    return {
        "name": settings.project_of(architecture),
        "description": f"Images for {architecture}, sent by Lamina",
        "source": {"type": "NO_SOURCE", "buildspec": _NOT_BY_HAND},
        "artifacts": {"type": "NO_ARTIFACTS"},
        "environment": {
            "type": kind,
            "image": image,
            "computeType": settings.compute,
            "privilegedMode": True,
            "imagePullCredentialsType": "CODEBUILD" if image.startswith(_AWS_IMAGES) else "SERVICE_ROLE",
        },
        "serviceRole": settings.role,
        "timeoutInMinutes": settings.timeout,
        "queuedTimeoutInMinutes": min(max(_WAITS[0], settings.timeout), _WAITS[1]),
        "logsConfig": {"cloudWatchLogs": {"status": "ENABLED"}},
        **({"encryptionKey": settings.kms_key} if settings.kms_key else {}),
        **({TAGS: _tag_list(dict(settings.tags))} if settings.tags else {}),
    }


def project_changes(wanted: JsonTable, found: JsonTable | None) -> Iterator[ProjectChange]:
    """Yield the changes a project needs; other settings are left alone. found: None without a project."""
    what = f"project {wanted['name']}"
    if found is None:
        machine = as_table(wanted["environment"])
        yield ProjectChange(
            what=what,
            setting="",
            before=None,
            after=f"{machine['type']} {machine['computeType']}, {machine['image']}",
        )
        return
    current = flat(found)
    for key, value in flat({each: wanted[each] for each in wanted if each != TAGS}).items():
        if current.get(key) != value:
            before = _shown(current[key]) if key in current else "nothing"
            yield ProjectChange(what=what, setting=key, before=before, after=_shown(value))
    yield from tag_changes(what, _tags(wanted.get(TAGS)), _tags(found.get(TAGS)))


def project_update(wanted: JsonTable, found: JsonTable, changes: Iterable[ProjectChange]) -> JsonTable:
    """Return the settings for UpdateProject, each complete with the values that Lamina does not manage."""
    keys = dict.fromkeys(each.setting.partition(".")[0] for each in changes)
    update = {key: _over(found.get(key), wanted[key]) for key in keys}
    if TAGS in keys:
        update[TAGS] = _tag_list({**_tags(found.get(TAGS)), **_tags(wanted[TAGS])})
    return update


def tag_changes(what: str, wanted: Mapping[str, str], found: Mapping[str, str]) -> Iterator[ProjectChange]:
    """Yield a change if tags are missing or have other values; tags of others stay."""
    own = {name: value for name, value in found.items() if name in wanted}
    if own != wanted:
        yield ProjectChange(what=what, setting=TAGS, before=_named(own) or None, after=_named(wanted))


def _named(tags: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(tags.items()))


def _tags(given: Json) -> Mapping[str, str]:
    """Return tags as CodeBuild has them by name, without AWS' own, which it does not accept back."""
    tags = [as_table(each) for each in as_list(given)]
    return {
        str(each["key"]): str(each["value"])
        for each in tags
        if not str(each["key"]).lower().startswith("aws:")
    }


def _tag_list(tags: Mapping[str, str]) -> list[Json]:
    return [{"key": name, "value": value} for name, value in tags.items()]


def _over(found: Json, wanted: Json) -> Json:
    """Return a setting with Lamina's values; other keys of a mapping stay."""
    if not isinstance(found, Mapping) or not isinstance(wanted, Mapping):
        return wanted
    return {**found, **{key: _over(found.get(key), value) for key, value in wanted.items()}}


def role_policy(
    settings: CodeBuildSettings,
    account: CodeBuildAccount,
    architectures: Sequence[str],
    repositories: Iterable[str],
    outside: Iterable[Reference] = (),
    caches: Iterable[str] = (),
) -> JsonTable:
    """Return the least policy for the role of builds.

    Args:
        repositories: those of the images and their caches.
        outside: further images that builds pull.
        caches: prefixes of pull-through caches, of which ECR may still fetch layers.
    """
    bucket = f"arn:{account.partition}:s3:::{settings.bucket}"
    groups = [f"log-group:/aws/codebuild/{settings.project_of(each)}" for each in architectures]
    logs = [account.arn("logs", f"{group}{end}") for group in groups for end in ("", ":*")]
    statements = [
        _allow("Log", ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"], logs),
        _allow("Source", ["s3:GetObject", "s3:GetObjectVersion"], [f"{bucket}/{SOURCES}/*"]),
        _allow("Results", ["s3:PutObject"], [f"{bucket}/{RETURNS}/*"]),
        _allow("RegistryToken", ["ecr:GetAuthorizationToken"], ["*"]),
        _allow(
            "Images", sorted((*_PULL, *_PUSH)), [account.repository(name) for name in sorted({*repositories})]
        ),
    ]
    if pulled := _pulled(account, outside):
        statements.append(_allow("Outside", list(_PULL), pulled))
    if below := [account.repository(f"{each}/*") for each in caches]:
        statements.append(_allow("PullThroughCaches", [_IMPORT], below))
    locations = settings.secrets.values()
    managed = [_secret_arn(account, each) for each in locations if not each.startswith(PARAMETER)]
    parameters = [_parameter_arn(account, each) for each in locations if each.startswith(PARAMETER)]
    if managed:
        statements.append(_allow("Secrets", ["secretsmanager:GetSecretValue"], managed))
    if parameters:
        statements.append(_allow("Parameters", ["ssm:GetParameters"], parameters))
    if settings.kms_key:
        statements.append(_allow("Key", list(_USE_KEY), [settings.kms_key]))
    return _policy(statements)


def trust_policy(
    settings: CodeBuildSettings, account: CodeBuildAccount, architectures: Sequence[str]
) -> JsonTable:
    """Return the trust policy of the role: CodeBuild, for these projects only."""
    return _policy(
        [
            {
                "Effect": "Allow",
                "Principal": {"Service": "codebuild.amazonaws.com"},
                "Action": "sts:AssumeRole",
                "Condition": {"ArnLike": {"aws:SourceArn": _projects(settings, account, architectures)}},
            }
        ]
    )


def caller_policy(
    settings: CodeBuildSettings,
    account: CodeBuildAccount,
    architectures: Sequence[str],
    repositories: Iterable[str],
    caches: Iterable[str] = (),
    registry_role: str | None = None,
) -> JsonTable:
    """Return the policy for users of codebuild.build, followed by the actions for codebuild.setup.

    Args:
        caches: prefixes of pull-through caches, which the caller has ECR fill.
        registry_role: the role with which the caller asks the registry.
    """
    bucket = f"arn:{account.partition}:s3:::{settings.bucket}"
    projects = _projects(settings, account, architectures)
    names = [settings.project_of(each) for each in architectures]
    logs = [account.arn("logs", f"log-group:/aws/codebuild/{name}:log-stream:*") for name in names]
    below = [account.repository(f"{each}/*") for each in caches]
    repository_actions = sorted((*_PULL, *_PUSH, "ecr:DescribeRepositories"))
    return _policy(
        [
            _allow(
                "Builds",
                ["codebuild:BatchGetBuilds", "codebuild:StartBuild", "codebuild:StopBuild"],
                projects,
            ),
            _allow("BuildLogs", ["logs:GetLogEvents"], logs),
            _allow("Sources", ["s3:AbortMultipartUpload", "s3:PutObject"], [f"{bucket}/{SOURCES}/*"]),
            _allow("Results", ["s3:GetObject"], [f"{bucket}/{RETURNS}/*"]),
            _allow("WhatIsThere", ["s3:ListBucket"], [bucket]),
            _allow("RegistryToken", ["ecr:GetAuthorizationToken"], ["*"]),
            # Write access, to retag images of the same content and to settle caches after the build.
            _allow(
                "Images", repository_actions, [account.repository(name) for name in sorted({*repositories})]
            ),
            *([_allow("RegistryRole", ["sts:AssumeRole"], [registry_role])] if registry_role else []),
            *(
                [_allow("PullThroughCaches", sorted((*_PULL, _IMPORT, "ecr:CreateRepository")), below)]
                if below
                else []
            ),
            _allow(
                "SetupProjects",
                ["codebuild:BatchGetProjects", "codebuild:CreateProject", "codebuild:UpdateProject"],
                projects,
            ),
            _allow("SetupBucket", _setup_bucket(settings), [bucket]),
            *_key_of_caller(settings),
            *(
                [
                    {
                        **_allow("SetupRole", ["iam:PassRole"], [settings.role]),
                        "Condition": {"StringEquals": {"iam:PassedToService": "codebuild.amazonaws.com"}},
                    }
                ]
                if settings.role
                else []
            ),
        ]
    )


def _setup_bucket(settings: CodeBuildSettings) -> list[str]:
    actions = ["s3:CreateBucket", "s3:GetLifecycleConfiguration", "s3:PutLifecycleConfiguration"]
    if settings.kms_key:
        actions += ["s3:GetEncryptionConfiguration", "s3:PutEncryptionConfiguration"]
    if settings.tags:
        actions += ["s3:GetBucketTagging", "s3:PutBucketTagging"]
    return sorted(actions)


def _key_of_caller(settings: CodeBuildSettings) -> Iterator[JsonTable]:
    """Yield what sources and results need of the key: an upload in parts also reads it."""
    if settings.kms_key:
        yield _allow("Key", ["kms:Decrypt", "kms:GenerateDataKey"], [settings.kms_key])
        yield _allow("SetupKey", ["kms:DescribeKey"], [settings.kms_key])


def shown_policy(policy: JsonTable) -> str:
    """Return a policy as indented JSON."""
    return json.dumps(policy, indent=2)


def _projects(
    settings: CodeBuildSettings, account: CodeBuildAccount, architectures: Sequence[str]
) -> list[str]:
    return [account.arn("codebuild", f"project/{settings.project_of(each)}") for each in architectures]


def _pulled(account: CodeBuildAccount, references: Iterable[Reference]) -> list[str]:
    """Return the ARNs of the repositories of images in private ECR; others need no permission."""
    hosts = {each: EcrHost.of(each) for each in references}
    return sorted(
        {
            f"arn:{account.partition}:ecr:{host.region}:{host.account}:repository/{each.repository}"
            for each, host in hosts.items()
            if host
        }
    )


def _secret_arn(account: CodeBuildAccount, location: str) -> str:
    """Return the ARN of a secret. Secrets Manager appends six characters; a part after ':' selects a key."""
    if location.startswith("arn:"):
        return ":".join(location.split(":")[:7])
    return account.arn("secretsmanager", f"secret:{location.partition(':')[0]}-??????")


def _parameter_arn(account: CodeBuildAccount, location: str) -> str:
    return account.arn("ssm", f"parameter/{location.removeprefix(PARAMETER).lstrip('/')}")


def _policy(statements: list[JsonTable]) -> JsonTable:
    return {"Version": "2012-10-17", "Statement": statements}


def _allow(sid: str, actions: Sequence[str], resources: Sequence[str]) -> JsonTable:
    return {"Sid": sid, "Effect": "Allow", "Action": [*actions], "Resource": [*resources]}


def flat(table: JsonTable, before: str = "") -> JsonTable:
    """Return nested settings by dotted names."""
    found: JsonDocument = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{key}.")
        else:
            found[before + key] = value
    return found


def _shown(value: Json) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 1] + "…"
