"""The command that checks images against Lambda's rules: check."""

from __future__ import annotations

from lamina.errors import BuildError
from lamina.flow.session import Session


def check(session: Session, *, ref: tuple[str, ...]) -> int:
    """Check the project's images, or those of ``ref``."""
    from lamina.deploy.check import check_images
    from lamina.deploy.show_check import CHECK_HEADINGS, check_documents, check_rows

    found = check_images(session, ref)
    session.screen.rows(CHECK_HEADINGS, check_rows(found), wide="digest")
    refused = [each.problem for each in found if each.refusals]
    if refused:
        session.screen.error(BuildError(*refused))
    session.screen.finish("check", ok=not refused, images=check_documents(found))
    return BuildError.exit_code if refused else 0
