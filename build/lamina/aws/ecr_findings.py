"""What ECR's scans found in an image: basic scanning, and Amazon Inspector's enhanced scanning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lamina.aws.clients import Clients
from lamina.aws.ecr_policies import registry_owner
from lamina.aws.errors import aws_errors

if TYPE_CHECKING:
    from mypy_boto3_ecr.type_defs import (
        EnhancedImageScanFindingTypeDef,
        ImageScanFindingTypeDef,
        VulnerablePackageTypeDef,
    )

ABSENT = "NOT_SCANNED"
"""The status of an image without a scan."""
_DONE = frozenset({"COMPLETE", "ACTIVE"})
_UNDER_WAY = frozenset({"IN_PROGRESS", "PENDING"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFinding:
    """A vulnerability in an image.

    Attributes:
        name: such as ``CVE-2026-1234``.
        severity: ``informational`` to ``critical``, ``undefined`` or ``untriaged``.
        package: with its version; empty if not reported.
        fixed: the version without it; empty if not reported.
    """

    name: str
    severity: str
    package: str = ""
    fixed: str = ""

    def __str__(self) -> str:
        facts = (self.severity, self.package, self.fixed and f"fixed in {self.fixed}")
        return f"{self.name} ({', '.join(each for each in facts if each)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageScan:
    """The scan of an image.

    Attributes:
        status: ECR's, or `ABSENT`.
        description: of the status.
    """

    status: str
    description: str = ""
    findings: tuple[ImageFinding, ...] = ()

    @property
    def is_done(self) -> bool:
        """Whether all findings are known."""
        return self.status in _DONE

    @property
    def is_under_way(self) -> bool:
        """Whether findings may still come."""
        return self.status in _UNDER_WAY


def read_scan(clients: Clients, repository: str, digest: str, *, account: str | None) -> ImageScan:
    """Return the scan of an image, with all its findings.

    Args:
        clients: of the registry's region.
        repository: its full name.
        digest: of the image.
        account: the registry's owner; None for the caller's own registry.

    Raises RegistryError.
    """
    findings: dict[ImageFinding, None] = {}
    status, description = "", ""
    with aws_errors(repository):
        client = clients("ecr")
        pages = client.get_paginator("describe_image_scan_findings").paginate(
            repositoryName=repository, imageId={"imageDigest": digest}, **registry_owner(account)
        )
        try:
            for page in pages:
                status = str(page.get("imageScanStatus", {}).get("status", ""))
                description = str(page.get("imageScanStatus", {}).get("description", ""))
                found = page.get("imageScanFindings", {})
                findings |= dict.fromkeys(map(_basic, found.get("findings", ())))
                for each in found.get("enhancedFindings", ()):
                    findings |= dict.fromkeys(_enhanced(each))
        except client.exceptions.ScanNotFoundException:
            return ImageScan(status=ABSENT)
    return ImageScan(status=status, description=description, findings=tuple(findings))


def _basic(finding: ImageScanFindingTypeDef) -> ImageFinding:
    facts = {each["key"]: each.get("value", "") for each in finding.get("attributes", ())}
    package = f"{facts.get('package_name', '')} {facts.get('package_version', '')}".strip()
    severity = str(finding.get("severity", "UNDEFINED")).lower()
    return ImageFinding(name=finding.get("name", ""), severity=severity, package=package)


def _enhanced(finding: EnhancedImageScanFindingTypeDef) -> Iterator[ImageFinding]:
    """Yield a finding for each package that it is about. Suppressed and closed ones are left out."""
    if finding.get("status", "ACTIVE") != "ACTIVE":
        return
    details = finding.get("packageVulnerabilityDetails", {})
    name = details.get("vulnerabilityId") or finding.get("title", "")
    severity = str(finding.get("severity", "UNDEFINED")).lower()
    packages: Iterable[VulnerablePackageTypeDef] = details.get("vulnerablePackages") or ({},)
    for each in packages:
        package = f"{each.get('name', '')} {each.get('version', '')}".strip()
        fixed = each.get("fixedInVersion", "")
        known = "" if fixed == "NotAvailable" else fixed
        yield ImageFinding(name=name, severity=severity, package=package, fixed=known)
