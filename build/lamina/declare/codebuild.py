"""Building on AWS CodeBuild: ``[tool.lamina.codebuild]``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lamina.declare.document import Document
from lamina.refs import Reference

TABLE = "codebuild"
ARCHITECTURES: Mapping[str, tuple[str, str]] = {
    "amd64": ("LINUX_CONTAINER", "aws/codebuild/amazonlinux-x86_64-standard:5.0"),
    "arm64": ("ARM_CONTAINER", "aws/codebuild/amazonlinux-aarch64-standard:3.0"),
}
"""Architecture -> the type of its machines and AWS' own image for them.

https://docs.aws.amazon.com/codebuild/latest/userguide/build-env-ref-available.html
"""
COMPUTE = tuple(f"BUILD_GENERAL1_{size}" for size in ("SMALL", "MEDIUM", "LARGE", "XLARGE", "2XLARGE"))
BATCH_ABOVE = 30
"""Images. Machines of a batch share no layers: up to about so many, one large machine is faster."""
PARAMETER = "ssm:"
"""What a secret's place begins with when it is in Parameter Store and not in Secrets Manager."""
_LEAST_MINUTES, _MOST_MINUTES = 5, 2160
_KEYS: Mapping[str, type] = {
    **dict.fromkeys(("project", "bucket", "region", "role", "batch-role", "buildkit", "compute"), str),
    **dict.fromkeys(("image-amd64", "image-arm64"), str),
    **dict.fromkeys(("timeout", "batch-above"), int),
    "secrets": dict,
}
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+")
_FORMS: Mapping[str, tuple[re.Pattern[str], str, str]] = {
    "project": (
        re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{1,139}"),
        "name of CodeBuild projects",
        "2 to 140 letters, digits, '-', '_'; the architecture comes behind it",
    ),
    "bucket": (
        re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"),
        "name of a bucket",
        "3 to 63 lower-case letters, digits, '-', '.'",
    ),
    "region": (re.compile(r"[a-z]{2,}(?:-[a-z]+)+-[0-9]+"), "region", "eu-west-1, us-east-1, ..."),
    "role": (_ROLE, "ARN of a role", "arn:aws:iam::123456789012:role/lamina-codebuild"),
    "batch-role": (_ROLE, "ARN of a role", "arn:aws:iam::123456789012:role/lamina-codebuild-batch"),
    "compute": (re.compile("|".join(COMPUTE)), "size of machines", ", ".join(COMPUTE)),
    "image-amd64": (re.compile(r"[\w][\w./:@-]*"), "image", ARCHITECTURES["amd64"][1]),
    "image-arm64": (re.compile(r"[\w][\w./:@-]*"), "image", ARCHITECTURES["arm64"][1]),
}
"""Key -> its form, what it is, what is allowed."""
_PLACE = re.compile(r"[\w+=,.@:/!-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeBuildSettings:
    """How a project builds on CodeBuild. None: not configured.

    project: the beginning of the projects' names, one an architecture. bucket: for what is sent there and
    comes back. role, batch_role: ARNs of the roles that builds and batches have. buildkit: the image of
    BuildKit; None for the default builder of the machine's engine. timeout: minutes. batch_above: images.
    images: architecture -> the machine's image. secrets: id -> its name in Secrets Manager or, behind
    `PARAMETER`, in Parameter Store.
    """

    project: str = "lamina"
    bucket: str | None = None
    region: str | None = None
    role: str | None = None
    batch_role: str | None = None
    buildkit: str | None = None
    compute: str = "BUILD_GENERAL1_LARGE"
    timeout: int = 60
    batch_above: int = BATCH_ABOVE
    images: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)

    def project_of(self, architecture: str) -> str:
        """The name of the project whose machines have an architecture."""
        return f"{self.project}-{architecture}"

    def image_of(self, architecture: str) -> str:
        """The image of the machines of an architecture."""
        return self.images.get(architecture) or ARCHITECTURES[architecture][1]


def read_codebuild(document: Document) -> CodeBuildSettings:
    """What is configured. Faults go to the document."""
    given = document.known(document.table.get(TABLE, {}), _KEYS, TABLE)
    for key, (form, what, allowed) in _FORMS.items():
        if key in given and not form.fullmatch(given[key]):
            _fault(document, f"{given[key]!r} is no {what}", key, allowed)
    if "buildkit" in given:
        try:
            Reference.parse(given["buildkit"])
        except ValueError as error:
            _fault(document, f"no image of BuildKit: {error}", "buildkit", "host/moby/buildkit:v0.25.1")
    if not _LEAST_MINUTES <= given.get("timeout", _LEAST_MINUTES) <= _MOST_MINUTES:
        allowed = f"minutes, {_LEAST_MINUTES} to {_MOST_MINUTES}"
        _fault(document, f"a build cannot take up to {given['timeout']}", "timeout", allowed)
    if given.get("batch-above", 1) < 1:
        _fault(document, f"{given['batch-above']} is no number of images", "batch-above", "1 or more")
    return CodeBuildSettings(**_fields(given), secrets=_secrets(document, given))


def _fields(given: Mapping[str, Any]) -> dict[str, Any]:
    images = {name: given[f"image-{name}"] for name in ARCHITECTURES if f"image-{name}" in given}
    apart = {"secrets", *(f"image-{name}" for name in ARCHITECTURES)}
    named = {key.replace("-", "_"): value for key, value in given.items() if key not in apart}
    return {**named, "images": images}


def _secrets(document: Document, given: Mapping[str, Any]) -> Mapping[str, str]:
    secrets = document.strings(given.get("secrets", {}), TABLE, "secrets")
    for name, place in secrets.items():
        if not _PLACE.fullmatch(place.removeprefix(PARAMETER)):
            document.problem(
                f"{place!r} is no place of the secret {name}",
                where=document.where(TABLE, "secrets", name),
                allowed=f"a name or ARN in Secrets Manager, or {PARAMETER}/name/in/parameter-store",
            )
    return secrets


def _fault(document: Document, what: str, key: str, allowed: str) -> None:
    document.problem(what, where=document.where(TABLE, key), allowed=allowed)
