"""Building on AWS CodeBuild: ``[tool.lamina.codebuild]``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field, replace

from lamina.declare.accounts import check_shape
from lamina.declare.document import TEXTS, Document, Entries, Key
from lamina.declare.ecr import ECR_KEYS, read_tags
from lamina.declare.grammar import REGIONS
from lamina.patterns import regex
from lamina.refs import REGION, Reference
from lamina.values import dataclass

TABLE = "codebuild"
ARCHITECTURES: Mapping[str, tuple[str, str]] = {
    "amd64": ("LINUX_CONTAINER", "aws/codebuild/amazonlinux-x86_64-standard:5.0"),
    "arm64": ("ARM_CONTAINER", "aws/codebuild/amazonlinux-aarch64-standard:3.0"),
}
"""Architecture -> CodeBuild's environment type and AWS's image for it.

https://docs.aws.amazon.com/codebuild/latest/userguide/build-env-ref-available.html
"""
COMPUTE = tuple(f"BUILD_GENERAL1_{size}" for size in ("SMALL", "MEDIUM", "LARGE", "XLARGE", "2XLARGE"))
PARAMETER = "ssm:"
"""Prefix of a secret that is in Parameter Store instead of Secrets Manager."""
_LEAST_MINUTES, _MOST_MINUTES = 5, 2160
_FORMS: Mapping[str, tuple[re.Pattern[str], str, str]] = {
    "project": (
        regex(r"[A-Za-z0-9][A-Za-z0-9_-]{1,139}"),
        "a CodeBuild project name",
        "2 to 140 letters, digits, '-', '_'; the architecture is appended",
    ),
    "bucket": (
        regex(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"),
        "a bucket name",
        "3 to 63 lower-case letters, digits, '-', '.'",
    ),
    "region": (REGION, "an AWS region", REGIONS),
    "role": (
        regex(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+"),
        "a role ARN",
        "arn:aws:iam::123456789012:role/lamina-codebuild",
    ),
    "compute": (regex("|".join(COMPUTE)), "a machine size", ", ".join(COMPUTE)),
    "image-amd64": (regex(r"[\w][\w./:@-]*"), "an image", ARCHITECTURES["amd64"][1]),
    "image-arm64": (regex(r"[\w][\w./:@-]*"), "an image", ARCHITECTURES["arm64"][1]),
}
"""Key -> its pattern, its description, the allowed values."""
_HELP: Mapping[str, str] = {
    "project": "prefix of the CodeBuild project names; there is one project per architecture",
    "bucket": "bucket of build inputs and results",
    "region": "region of the builds; by default the registry's",
    "role": "role of builds",
    "compute": "size of the machines",
    "image-amd64": "the machine's image",
    "image-arm64": "the machine's image",
}
KEYS: Mapping[str, Key] = {
    **{name: Key(kind=str, pattern=_FORMS[name][0].pattern, help=text) for name, text in _HELP.items()},
    "buildkit": Key(kind=str, help="BuildKit's image; by default the machine's engine builds"),
    "timeout": Key(kind=int, least=_LEAST_MINUTES, most=_MOST_MINUTES, help="minutes a build may take"),
    "kms-key": replace(
        ECR_KEYS["kms-key"],
        help="the KMS key that encrypts new objects of the bucket, and what projects write: alias/<name>, or "
        "the ARN of a key or an alias; by default AWS' own",
    ),
    "tags": replace(ECR_KEYS["tags"], help="tags of the bucket and the projects; other tags of theirs stay"),
    "secrets": Key(
        kind=dict, values=TEXTS, help=f"id -> name in Secrets Manager, or {PARAMETER}name in Parameter Store"
    ),
}
_PLACE = regex(r"[\w+=,.@:/!-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeBuildSettings:
    """How a project builds on CodeBuild. None: not configured.

    Attributes:
        project: Prefix of the CodeBuild project names; there is one project per architecture.
        bucket: Holds build inputs and results.
        role: ARN of the role of builds.
        buildkit: The BuildKit image; None uses the default builder of the machine's engine.
        timeout: Minutes.
        images: Architecture -> the machine's image.
        kms_key: An alias, or the ARN of a key or an alias. None leaves the encryption as it is.
        tags: Names and values of the tags of the bucket and the projects.
        secrets: Id -> its name in Secrets Manager or, after `PARAMETER`, in Parameter Store.
    """

    project: str = "lamina"
    bucket: str | None = None
    region: str | None = None
    role: str | None = None
    buildkit: str | None = None
    compute: str = "BUILD_GENERAL1_LARGE"
    timeout: int = 60
    images: Mapping[str, str] = field(default_factory=dict)
    kms_key: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict)

    def project_of(self, architecture: str) -> str:
        """Return the name of the CodeBuild project for an architecture."""
        return f"{self.project}-{architecture}"

    def image_of(self, architecture: str) -> str:
        """Return the image of an architecture's machines."""
        return self.images.get(architecture) or ARCHITECTURES[architecture][1]


def read_codebuild(document: Document) -> CodeBuildSettings:
    """Read ``[tool.lamina.codebuild]``. Problems go to the document."""
    given = document.known(document.table.get(TABLE, {}), KEYS, TABLE)
    for key, (form, kind, allowed) in _FORMS.items():
        if key in given and not form.fullmatch(given[key]):
            _fault(document, f"{given[key]!r} is not {kind}", key, allowed)
    if "buildkit" in given:
        try:
            Reference.parse(given["buildkit"])
        except ValueError as error:
            _fault(document, f"not a BuildKit image: {error}", "buildkit", "host/moby/buildkit:v0.25.1")
    if not _LEAST_MINUTES <= given.get("timeout", _LEAST_MINUTES) <= _MOST_MINUTES:
        allowed = f"minutes, {_LEAST_MINUTES} to {_MOST_MINUTES}"
        _fault(document, f"timeout is {given['timeout']}", "timeout", allowed)
    check_shape(document, "kms-key", given.get("kms-key"), TABLE, "kms-key")
    tags = read_tags(document, given.get("tags", {}), TABLE)
    return CodeBuildSettings(**_fields(given), tags=tags, secrets=_secrets(document, given))


def _fields(given: Entries) -> Entries:
    images = {name: given[f"image-{name}"] for name in ARCHITECTURES if f"image-{name}" in given}
    apart = {"secrets", "tags", *(f"image-{name}" for name in ARCHITECTURES)}
    named = {key.replace("-", "_"): value for key, value in given.items() if key not in apart}
    return {**named, "images": images}


def _secrets(document: Document, given: Entries) -> Mapping[str, str]:
    secrets = document.strings(given.get("secrets", {}), TABLE, "secrets")
    for name, location in secrets.items():
        if not _PLACE.fullmatch(location.removeprefix(PARAMETER)):
            document.problem(
                f"{location!r} is not a location of the secret {name}",
                where=document.where(TABLE, "secrets", name),
                allowed=f"a name or ARN in Secrets Manager, or {PARAMETER}/name/in/parameter-store",
            )
    return secrets


def _fault(document: Document, what: str, key: str, allowed: str) -> None:
    document.problem(what, where=document.where(TABLE, key), allowed=allowed)
