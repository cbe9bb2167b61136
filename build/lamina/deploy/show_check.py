"""Show the results of `check`: as a table and as documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lamina.decide.acceptance import Checked
from lamina.deploy.findings import ScannedImage
from lamina.json_data import JsonDocument
from lamina.report import figures

FINDING_HEADINGS = ("image", "severity", "finding", "package", "fixed in")
CHECK_HEADINGS = ("image", "verdict", "platform", "layers", "stored", "unpacked", "digest")


def check_rows(checked: Iterable[Checked]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each image, with the columns of `CHECK_HEADINGS`."""
    for each in checked:
        candidate = each.candidate
        yield (
            each.name,
            "refused" if each.refusals else "taken",
            each.platform or figures.NONE,
            str(len(candidate.layers)) if candidate else figures.NONE,
            figures.size(each.found.size if candidate else None),
            figures.size(candidate.unpacked if candidate else None),
            each.found.digest[:19],
        )


def finding_rows(scanned: Iterable[ScannedImage]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each finding above the severity, with the columns of `FINDING_HEADINGS`."""
    for image in scanned:
        for each in image.above:
            fixed = each.fixed or figures.NONE
            yield image.name, each.severity, each.name, each.package or figures.NONE, fixed


def finding_documents(scanned: Iterable[ScannedImage]) -> list[JsonDocument]:
    """Return the scanned images of ``check --json``; findings only above the severity."""
    return [
        {
            "name": image.name,
            "digest": image.ref.digest,
            "scan": image.scan.status,
            "above": [
                {"name": each.name, "severity": each.severity, "package": each.package, "fixed": each.fixed}
                for each in image.above
            ],
        }
        for image in scanned
    ]


def check_documents(checked: Iterable[Checked]) -> list[JsonDocument]:
    """Return the images of ``check --json``. Sizes are in bytes, None for an index."""
    return [
        {
            "name": each.name,
            "ref": str(each.found.ref),
            "digest": each.found.digest,
            "taken": not each.refusals,
            "refusals": list(each.refusals),
            "platform": each.platform or None,
            "layers": len(each.candidate.layers) if each.candidate else None,
            "size": each.found.size if each.candidate else None,
            "unpacked": each.candidate.unpacked if each.candidate else None,
        }
        for each in checked
    ]
