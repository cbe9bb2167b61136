"""The command that checks images against Lambda's rules: check."""

from __future__ import annotations

from lamina.declare.settings import ANY_SEVERITY
from lamina.errors import BuildError
from lamina.flow.session import Session


def check(session: Session, *, ref: tuple[str, ...]) -> int:
    """Check the project's images, or those of ``ref``."""
    from lamina.deploy.check import check_images
    from lamina.deploy.findings import SCAN_SECONDS, scan_images, severity_problems
    from lamina.deploy.show_check import (
        CHECK_HEADINGS,
        FINDING_HEADINGS,
        check_documents,
        check_rows,
        finding_documents,
        finding_rows,
    )

    found = check_images(session, ref)
    session.screen.rows(CHECK_HEADINGS, check_rows(found), wide="digest")
    refused = [each.problem for each in found if each.refusals]
    most = session.project.settings.max_severity
    images = {each.name: each.found.ref.with_digest(each.found.digest) for each in found}
    scanned = () if most == ANY_SEVERITY else scan_images(session, images, most, SCAN_SECONDS)
    if rows := tuple(finding_rows(scanned)):
        session.screen.rows(FINDING_HEADINGS, rows, wide="package")
    refused += severity_problems(scanned, most)
    if refused:
        session.screen.error(BuildError(*refused))
    session.screen.finish(
        "check", ok=not refused, images=check_documents(found), findings=finding_documents(scanned)
    )
    return BuildError.exit_code if refused else 0
