from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from lamina.aws.ecr_findings import ABSENT, ImageFinding, ImageScan, read_scan
from lamina.errors import RegistryError

DIGEST = "sha256:" + "1" * 64
ASKED = {"repositoryName": "team/app", "imageId": {"imageDigest": DIGEST}, "registryId": "123456789012"}
CVE = {"name": "CVE-2026-1", "severity": "HIGH", "attributes": [{"key": "package_name", "value": "zlib"}]}


class Ecr:
    """ECR's client, with answers in order."""

    def __init__(self) -> None:
        once = Config(retries={"total_max_attempts": 1})
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "eu-west-1"}
        self.client = boto3.client("ecr", config=once, **keys)  # type: ignore[call-overload]
        self.stub = Stubber(self.client)
        self.stub.activate()

    def __call__(self, service: str) -> Any:
        return self.client

    def page(self, status: str, *, token: str = "", more: str = "", **findings: Any) -> None:
        answer = {"imageScanStatus": {"status": status, "description": "d"}, "imageScanFindings": findings}
        asked = {**ASKED, **({"nextToken": token} if token else {})}
        more_pages = {"nextToken": more} if more else {}
        self.stub.add_response("describe_image_scan_findings", {**answer, **more_pages}, asked)


@pytest.fixture
def ecr() -> Iterator[Ecr]:
    made = Ecr()
    yield made
    made.stub.assert_no_pending_responses()


def read(ecr: Ecr) -> ImageScan:
    return read_scan(ecr, "team/app", DIGEST, account="123456789012")


def test_findings_of_all_pages_are_read(ecr: Ecr) -> None:
    ecr.page("COMPLETE", more="n", findings=[CVE])
    ecr.page("COMPLETE", token="n", findings=[{"name": "CVE-2026-2", "severity": "LOW"}])

    scan = read(ecr)

    assert scan.is_done
    assert list(map(str, scan.findings)) == ["CVE-2026-1 (high, zlib)", "CVE-2026-2 (low)"]


def test_enhanced_findings_name_each_package_and_its_fix_and_suppressed_ones_do_not_count(ecr: Ecr) -> None:
    packages = [
        {"name": "openssl", "version": "3.0.1", "fixedInVersion": "3.0.2"},
        {"name": "openssl-libs", "version": "3.0.1", "fixedInVersion": "NotAvailable"},
    ]
    details = {"vulnerabilityId": "CVE-2026-3", "vulnerablePackages": packages}
    found = {"title": "t", "severity": "CRITICAL", "packageVulnerabilityDetails": details}
    untitled = {"title": "a leak", "severity": "UNTRIAGED", "status": "ACTIVE"}
    ecr.page("ACTIVE", enhancedFindings=[found, {**found, "status": "SUPPRESSED"}, untitled])

    scan = read(ecr)

    assert scan.is_done
    assert scan.findings == (
        ImageFinding(name="CVE-2026-3", severity="critical", package="openssl 3.0.1", fixed="3.0.2"),
        ImageFinding(name="CVE-2026-3", severity="critical", package="openssl-libs 3.0.1"),
        ImageFinding(name="a leak", severity="untriaged"),
    )


@pytest.mark.parametrize("status", ["FAILED", "UNSUPPORTED_IMAGE", "SCAN_ELIGIBILITY_EXPIRED", "PENDING"])
def test_the_findings_of_a_scan_that_is_not_complete_are_not_known(ecr: Ecr, status: str) -> None:
    ecr.page(status)

    scan = read(ecr)

    assert not scan.is_done
    assert scan.is_under_way == (status == "PENDING")
    assert scan.description == "d"


def test_an_image_without_a_scan_has_none(ecr: Ecr) -> None:
    ecr.stub.add_client_error("describe_image_scan_findings", "ScanNotFoundException")

    assert read(ecr) == ImageScan(status=ABSENT)


def test_a_missing_permission_is_named(ecr: Ecr) -> None:
    ecr.stub.add_client_error("describe_image_scan_findings", "AccessDeniedException")

    with pytest.raises(RegistryError, match="not allowed: ecr:DescribeImageScanFindings on team/app"):
        read(ecr)
