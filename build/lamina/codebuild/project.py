"""The projects, bucket and policies that CodeBuild needs, and how an account differs from them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lamina.codebuild.buildspec import KEPT_DAYS, PREFIX, RETURNS, SOURCES
from lamina.declare.codebuild import ARCHITECTURES, PARAMETER, CodeBuildSettings
from lamina.json_data import Json, JsonDocument, JsonTable, as_table
from lamina.refs import EcrHost, Reference

RULE = "lamina"
"""The id of the bucket's lifecycle rule."""
_NOT_BY_HAND = (
    'version: 0.2\nphases: {build: {commands: ["echo start this with invoke codebuild.build", "exit 1"]}}\n'
)
_AWS_IMAGES = "aws/codebuild/"
_MOST_SHOWN = 60
_WAITS = (5, 480)  # minutes; AWS' limits for the wait for a machine
_PULL = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
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
    }


def expiry_rule() -> JsonTable:
    """Return the bucket's lifecycle rule, which expires sources and results."""
    return {
        "ID": RULE,
        "Status": "Enabled",
        "Filter": {"Prefix": f"{PREFIX}/"},
        "Expiration": {"Days": KEPT_DAYS},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }


def bucket_changes(name: str, *, exists: bool, rules: Iterable[JsonTable]) -> Iterator[ProjectChange]:
    """Yield the changes the bucket needs. rules: its current rules."""
    if not exists:
        yield ProjectChange(what=f"bucket {name}", setting="", before=None, after="created, private")
    own = next((each for each in rules if each.get("ID") == RULE), None)
    wanted = _flat(expiry_rule())
    found = _flat(own) if own else {}
    if any(found.get(key) != value for key, value in wanted.items()):
        before = f"{as_table(own.get('Expiration')).get('Days')} days, {own.get('Status')}" if own else None
        yield ProjectChange(
            what=f"bucket {name}",
            setting=f"expiry of {PREFIX}/",
            before=before,
            after=f"{KEPT_DAYS} days, Enabled",
        )


def merged_rules(rules: Iterable[JsonTable]) -> tuple[JsonTable, ...]:
    """Return the bucket's rules with Lamina's own replaced or added."""
    return (*(each for each in rules if each.get("ID") != RULE), expiry_rule())


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
    current = _flat(found)
    for key, value in _flat(wanted).items():
        if current.get(key) != value:
            before = _shown(current[key]) if key in current else "nothing"
            yield ProjectChange(what=what, setting=key, before=before, after=_shown(value))


def project_update(wanted: JsonTable, found: JsonTable, changes: Iterable[ProjectChange]) -> JsonTable:
    """Return the settings for UpdateProject, each complete with the values that Lamina does not manage."""
    keys = dict.fromkeys(each.setting.partition(".")[0] for each in changes)
    return {key: _over(found.get(key), wanted[key]) for key in keys}


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
) -> JsonTable:
    """Return the least policy for the role of builds.

    Args:
        repositories: those of the images and their caches.
        outside: further images that builds pull.
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
    locations = settings.secrets.values()
    managed = [_secret_arn(account, each) for each in locations if not each.startswith(PARAMETER)]
    parameters = [_parameter_arn(account, each) for each in locations if each.startswith(PARAMETER)]
    if managed:
        statements.append(_allow("Secrets", ["secretsmanager:GetSecretValue"], managed))
    if parameters:
        statements.append(_allow("Parameters", ["ssm:GetParameters"], parameters))
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
) -> JsonTable:
    """Return the policy for users of codebuild.build, followed by the actions for codebuild.setup."""
    bucket = f"arn:{account.partition}:s3:::{settings.bucket}"
    projects = _projects(settings, account, architectures)
    names = [settings.project_of(each) for each in architectures]
    logs = [account.arn("logs", f"log-group:/aws/codebuild/{name}:log-stream:*") for name in names]
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
            _allow(
                "SetupProjects",
                ["codebuild:BatchGetProjects", "codebuild:CreateProject", "codebuild:UpdateProject"],
                projects,
            ),
            _allow(
                "SetupBucket",
                ["s3:CreateBucket", "s3:GetLifecycleConfiguration", "s3:PutLifecycleConfiguration"],
                [bucket],
            ),
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


def _flat(table: JsonTable, before: str = "") -> JsonTable:
    """Flatten nested settings to dotted names."""
    flat: JsonDocument = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{key}.")
        else:
            flat[before + key] = value
    return flat


def _shown(value: Json) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 1] + "…"
