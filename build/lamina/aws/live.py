"""What Lambda tells of functions that run images: of versions, of aliases."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LATEST = "$LATEST"
IMAGE = "Image"
_DIGEST = re.compile(r"@(sha256:[0-9a-f]{64})$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A function as Lambda tells of it, or a version of it.

    package: ``Image`` or ``Zip``. digest: of the image in use, None for a zip file or where Lambda does not
    say. command, entry_point, directory: what takes the place of the image's own. architecture: ``x86_64``,
    ``arm64``. state: ``Active``, ``Inactive``, ``Pending``, ``Failed``; cause: of a state, ``Idle``; update:
    ``Successful``, ``InProgress``, ``Failed``; reason: of whichever failed. revision: of its configuration,
    changed by every update and by a new version; modified: when it was updated last. uri: of the
    image in use.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """Provisioned concurrency of an alias. status: ``IN_PROGRESS``, ``READY`` or ``FAILED``; reason: why."""

    status: str
    reason: str

    @property
    def under_way(self) -> bool:
        """Whether instances are still being made."""
        return self.status == "IN_PROGRESS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A name for a version. routes: further versions -> the share of the calls that they get, 0 to 1.

    allocation: of its provisioned concurrency, where that was asked for and there is any.
    """

    name: str
    version: str
    revision: str | None
    routes: Mapping[str, float] = field(default_factory=dict)
    allocation: Allocation | None = None

    @property
    def shares(self) -> Mapping[str, float]:
        """The routes that somebody asked for.

        While provisioned concurrency is made for a new version, Lambda itself leaves calls to the old one.
        """
        return {} if self.allocation and self.allocation.under_way else self.routes


def image_digest(code: Mapping[str, Any]) -> str | None:
    """The digest of the image in use, out of ``Code`` of GetFunction; None where Lambda does not say."""
    found = _DIGEST.search(code.get("ResolvedImageUri") or "") or _DIGEST.search(code.get("ImageUri") or "")
    return found[1] if found else None


def live_of(told: Mapping[str, Any]) -> Live:
    """A function, or a version of it, out of GetFunction."""
    settings = told["Configuration"]
    image = (settings.get("ImageConfigResponse") or {}).get("ImageConfig") or {}
    reasons = (settings.get("LastUpdateStatusReason"), settings.get("StateReason"))
    return Live(
        name=str(settings["FunctionName"]),
        version=str(settings.get("Version", LATEST)),
        package=str(settings.get("PackageType", "Zip")),
        digest=image_digest(told.get("Code", {})),
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
        uri=told.get("Code", {}).get("ResolvedImageUri") or told.get("Code", {}).get("ImageUri"),
    )


def alias_of(told: Mapping[str, Any]) -> Alias:
    """An alias, as all calls about aliases answer."""
    routes = (told.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    return Alias(
        name=str(told["Name"]),
        version=str(told["FunctionVersion"]),
        revision=told.get("RevisionId"),
        routes=dict(routes),
    )
