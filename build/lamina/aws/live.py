"""Functions, versions and aliases as Lambda reports them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_lambda.type_defs import (
        AliasConfigurationResponseTypeDef,
        AliasConfigurationTypeDef,
        FunctionCodeLocationTypeDef,
        GetFunctionResponseTypeDef,
    )

LATEST = "$LATEST"
IMAGE = "Image"
_TEMPORARY_MB = 512
_DIGEST = re.compile(r"@(sha256:[0-9a-f]{64})$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A function, or a version of it, as Lambda reports it.

    Attributes:
        package: ``Image`` or ``Zip``.
        digest: of the image in use; None for a zip file or when not reported.
        command, entry_point, directory: overrides of the image's own.
        architecture: ``x86_64``, ``arm64``.
        state: ``Active``, ``Inactive``, ``Pending``, ``Failed``.
        cause: the code of the state's reason, ``Idle``.
        update: ``Successful``, ``InProgress``, ``Failed``.
        reason: why the update or the state failed.
        revision: of the configuration, changed by every update and new version.
        modified: time of the last one.
        uri: of the image in use.
        snap_start: whether Lambda makes snapshots of its versions.
        has_snapshot: whether this version starts from one.
        temporary_mb: size of /tmp.
        file_systems: where EFS is mounted.
        description: of the function or the version.
        role: ARN of its execution role.
        dead_letters: ARN of the queue or topic of events that failed; None if there is none.
    """

    name: str
    version: str
    package: str
    digest: str | None
    command: tuple[str, ...]
    architecture: str
    state: str
    update: str
    reason: str
    revision: str | None
    entry_point: tuple[str, ...] = ()
    directory: str | None = None
    cause: str = ""
    modified: str | None = None
    uri: str | None = None
    snap_start: bool = False
    has_snapshot: bool = False
    temporary_mb: int = _TEMPORARY_MB
    file_systems: tuple[str, ...] = ()
    description: str = ""
    role: str | None = None
    dead_letters: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """Provisioned concurrency of an alias.

    Attributes:
        status: ``IN_PROGRESS``, ``READY`` or ``FAILED``.
        reason: why.
    """

    status: str
    reason: str

    @property
    def under_way(self) -> bool:
        """Whether instances are still being allocated."""
        return self.status == "IN_PROGRESS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A name for a version.

    Attributes:
        routes: further versions -> their share of the calls, 0 to 1.
        allocation: its provisioned concurrency, if it was read and there is any.
        description: free text.
    """

    name: str
    version: str
    revision: str | None
    routes: Mapping[str, float] = field(default_factory=dict)
    allocation: Allocation | None = None
    description: str = ""

    @property
    def shares(self) -> Mapping[str, float]:
        """The configured routes.

        Lambda routes calls to the old version by itself while it allocates concurrency for a new one.
        """
        return {} if self.allocation and self.allocation.under_way else self.routes


def image_digest(code: FunctionCodeLocationTypeDef) -> str | None:
    """Return the digest of the image in use from ``Code`` of GetFunction; None when it is not reported."""
    found = _DIGEST.search(code.get("ResolvedImageUri") or "") or _DIGEST.search(code.get("ImageUri") or "")
    return found[1] if found else None


def live_of(answer: GetFunctionResponseTypeDef) -> Live:
    """Return the function, or the version of it, in an answer of GetFunction."""
    settings = answer["Configuration"]
    image = (settings.get("ImageConfigResponse") or {}).get("ImageConfig") or {}
    snapshots = settings.get("SnapStart") or {}
    reasons = (settings.get("LastUpdateStatusReason"), settings.get("StateReason"))
    return Live(
        name=str(settings["FunctionName"]),
        version=str(settings.get("Version", LATEST)),
        package=str(settings.get("PackageType", "Zip")),
        digest=image_digest(answer.get("Code", {})),
        command=tuple(image.get("Command") or ()),
        architecture=next(iter(settings.get("Architectures") or ()), "x86_64"),
        state=str(settings.get("State", "Active")),
        update=str(settings.get("LastUpdateStatus", "Successful")),
        reason=next((str(each) for each in reasons if each), "Lambda gives no reason"),
        revision=settings.get("RevisionId"),
        entry_point=tuple(image.get("EntryPoint") or ()),
        directory=image.get("WorkingDirectory"),
        cause=str(settings.get("StateReasonCode") or ""),
        modified=settings.get("LastModified"),
        uri=answer.get("Code", {}).get("ResolvedImageUri") or answer.get("Code", {}).get("ImageUri"),
        snap_start=snapshots.get("ApplyOn") == "PublishedVersions",
        has_snapshot=snapshots.get("OptimizationStatus") == "On",
        temporary_mb=(settings.get("EphemeralStorage") or {"Size": _TEMPORARY_MB})["Size"],
        file_systems=tuple(str(each["LocalMountPath"]) for each in settings.get("FileSystemConfigs") or ()),
        description=str(settings.get("Description") or ""),
        role=settings.get("Role"),
        dead_letters=(settings.get("DeadLetterConfig") or {}).get("TargetArn"),
    )


def alias_of(answer: AliasConfigurationTypeDef | AliasConfigurationResponseTypeDef) -> Alias:
    """Return the alias in an answer of any call about aliases."""
    routes = (answer.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    return Alias(
        name=str(answer["Name"]),
        version=str(answer["FunctionVersion"]),
        revision=answer.get("RevisionId"),
        routes=dict(routes),
        description=str(answer.get("Description") or ""),
    )
