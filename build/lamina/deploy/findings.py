"""Which findings of ECR's scans an image may have: those up to `max-severity`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from lamina.aws.ecr_findings import ABSENT, ImageFinding, ImageScan
from lamina.declare.settings import ANY_SEVERITY
from lamina.errors import BuildError, ConfigError, Problem
from lamina.flow.session import Session
from lamina.parallel import gather
from lamina.refs import Reference

SCAN_SECONDS = 300.0
"""How long a scan that is under way is waited for."""
_ABSENT_SECONDS = 30.0  # a scan on push begins some seconds after it
_PAUSE = 5.0  # seconds
_SHOWN = 10
_THREADS = 4
_RANKS: Mapping[str, int] = {
    "none": 0,
    "undefined": 1,
    "untriaged": 1,
    "informational": 1,
    "low": 2,
    "medium": 3,
    "high": 4,
    "critical": 5,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedImage:
    """An image, its scan, and the findings above the severity it may have; the worst first."""

    name: str
    ref: Reference
    scan: ImageScan
    above: tuple[ImageFinding, ...]


def scan_images(
    session: Session, images: Mapping[str, Reference], most: str, timeout: float
) -> tuple[ScannedImage, ...]:
    """Return the scans of images, named by digest. Scans under way are waited for.

    Args:
        session: of the registry.
        images: name -> reference by digest.
        most: the greatest severity they may have.
        timeout: seconds for each.

    Raises:
        ConfigError: the images are not in the project's ECR registry, which scans them.
        RegistryError: a scan cannot be read.
    """
    registry = session.ecr
    host = Reference.parse(f"{registry.address}/any").host if registry else ""
    ConfigError.check(
        Problem(
            what=f"{each} is not in this project's ECR registry: its findings are not known",
            where=session.project.settings.source("max-severity"),
            hint='max-severity = "any" does not ask for them',
        )
        for each in images.values()
        if registry is None or each.host != host
    )
    if registry is None:
        return ()

    def read(item: tuple[str, Reference]) -> ScannedImage:
        name, ref = item
        scan = settled(lambda: registry.inventory.scan(ref.repository, str(ref.digest)), timeout)
        return ScannedImage(name=name, ref=ref, scan=scan, above=above(scan, most))

    return tuple(gather(read, images.items(), threads=_THREADS))


def settled(
    read: Callable[[], ImageScan],
    timeout: float,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> ImageScan:
    """Return the scan once it has ended, or as it is after ``timeout`` seconds."""
    started = clock()
    while True:
        scan = read()
        waited = clock() - started
        patience = timeout if scan.is_under_way else min(timeout, _ABSENT_SECONDS)
        if not (scan.is_under_way or scan.status == ABSENT) or waited >= patience:
            return scan
        sleep(_PAUSE)


def above(scan: ImageScan, most: str) -> tuple[ImageFinding, ...]:
    """Return the findings above a severity, the worst first. Unknown severities count as the least."""
    found = [each for each in scan.findings if _rank(each) > _RANKS[most]]
    return tuple(sorted(found, key=lambda each: (-_rank(each), each.name, each.package)))


def severity_problems(scanned: Iterable[ScannedImage], most: str) -> Iterable[Problem]:
    """Yield a problem for each image that is not known to have no finding above a severity."""
    for each in scanned:
        if each.above:
            lines = [str(finding) for finding in each.above[:_SHOWN]]
            lines += [f"and {len(each.above) - _SHOWN} more"] if len(each.above) > _SHOWN else []
            yield Problem(
                what="\n  ".join((f"{each.ref} has findings above {most}:", *lines)),
                where=each.name,
                hint="update what it is based on (invoke lock) and its packages; "
                f"see all: invoke check --max-severity {most}",
            )
        elif not each.scan.is_done:
            reason = f": {each.scan.description}" if each.scan.description else ""
            yield Problem(
                what=f"the findings of {each.ref} are not known: its scan is {each.scan.status}{reason}",
                where=each.name,
                hint="run it again when the scan has ended; scan-on-push of [tool.lamina.ecr], or "
                "aws ecr start-image-scan, scans it",
            )


def require_severity(session: Session, images: Mapping[str, Reference], most: str, timeout: float) -> None:
    """Raise BuildError if an image has findings above a severity, or if they are not known."""
    if most != ANY_SEVERITY and images:
        BuildError.check(severity_problems(scan_images(session, images, most, timeout), most))


def _rank(finding: ImageFinding) -> int:
    return _RANKS.get(finding.severity, 1)
