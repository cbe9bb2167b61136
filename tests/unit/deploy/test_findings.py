from __future__ import annotations

import pytest

from lamina.aws.ecr_findings import ABSENT, ImageFinding, ImageScan
from lamina.deploy.findings import ScannedImage, above, settled, severity_problems
from lamina.refs import Reference

REF = Reference.parse("host/app@sha256:" + "1" * 64)


def finding(name: str, severity: str, **more: str) -> ImageFinding:
    return ImageFinding(name=name, severity=severity, **more)


ALL = ImageScan(
    status="COMPLETE",
    findings=tuple(
        finding(f"CVE-{each}", each)
        for each in (
            "low",
            "untriaged",
            "critical",
            "informational",
            "medium",
            "undefined",
            "high",
            "new-word",
        )
    ),
)


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        ("high", ["critical"]),
        ("medium", ["critical", "high"]),
        ("low", ["critical", "high", "medium"]),
        ("informational", ["critical", "high", "medium", "low"]),
        (
            "none",
            ["critical", "high", "medium", "low", "informational", "new-word", "undefined", "untriaged"],
        ),
    ],
)
def test_findings_above_a_severity_come_worst_first(most: str, expected: list[str]) -> None:
    assert [each.severity for each in above(ALL, most)] == expected


def problems(scan: ImageScan, most: str = "medium") -> list[str]:
    scanned = ScannedImage(name="app", ref=REF, scan=scan, above=above(scan, most))
    return [each.what for each in severity_problems([scanned], most)]


def test_an_image_without_findings_above_the_severity_passes() -> None:
    assert problems(ImageScan(status="COMPLETE", findings=(finding("a", "medium"),))) == []
    assert problems(ImageScan(status="ACTIVE")) == []


def test_ten_findings_are_named_and_the_others_are_counted() -> None:
    those = tuple(finding(f"CVE-{number:02}", "high", fixed="2") for number in range(12))

    (told,) = problems(ImageScan(status="COMPLETE", findings=those))

    lines = told.splitlines()
    assert lines[0] == f"{REF} has findings above medium:"
    assert lines[1].strip() == "CVE-00 (high, fixed in 2)"
    assert (len(lines), lines[-1].strip()) == (12, "and 2 more")


@pytest.mark.parametrize("status", [ABSENT, "FAILED", "IN_PROGRESS", "LIMIT_EXCEEDED", ""])
def test_findings_that_are_not_known_do_not_pass(status: str) -> None:
    (told,) = problems(ImageScan(status=status, description="why"))

    assert told == f"the findings of {REF} are not known: its scan is {status}: why"


def waited(*statuses: str, timeout: float = 300.0) -> tuple[str, int]:
    """Return the status that counts, and how many times it was waited."""
    left, pauses = list(statuses), [0.0]

    def read() -> ImageScan:
        return ImageScan(status=left.pop(0) if len(left) > 1 else left[0])

    scan = settled(read, timeout, sleep=pauses.append, clock=lambda: sum(pauses))
    return scan.status, len(pauses) - 1


def test_a_scan_under_way_is_waited_for_and_one_that_does_not_begin_not_for_long() -> None:
    assert waited("COMPLETE") == ("COMPLETE", 0)
    assert waited("FAILED", "COMPLETE") == ("FAILED", 0)
    assert waited(ABSENT, "IN_PROGRESS", "PENDING", "ACTIVE") == ("ACTIVE", 3)
    assert waited(ABSENT) == (ABSENT, 6)
    assert waited("PENDING") == ("PENDING", 60)
    assert waited("PENDING", timeout=10) == ("PENDING", 2)
