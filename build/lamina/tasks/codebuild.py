"""Commands that build on AWS CodeBuild: codebuild.setup, codebuild.build."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.flow.prepare import prepare
from lamina.flow.session import Session
from lamina.tasks.frame import report
from lamina.tasks.templates import print_template

if TYPE_CHECKING:
    from lamina.aws.templates import StackTemplate


def setup(session: Session, *, dry_run: bool, form: str, json: bool) -> int:
    """Create or update what builds on CodeBuild need; or print it for another tool, and change nothing."""
    if form:
        return print_template(session, form, lambda: _builds(session), json=json)
    from lamina.codebuild.setup import apply_setup, lacking_role, read_setup
    from lamina.codebuild.show import setup_documents, show_setup

    found = read_setup(session)
    show_setup(session.screen, found.changes, found.policies if dry_run else {})
    if dry_run:
        session.screen.notes(lacking_role(session))
    else:
        apply_setup(session, found)
    session.screen.finish(
        "codebuild.setup",
        ok=True,
        images=[],
        changes=setup_documents(found.changes),
        policies=dict(found.policies),
    )
    return 0


def _builds(session: Session) -> StackTemplate:
    from lamina.codebuild.setup import template

    return template(session)


def build(session: Session, *, wait: bool, follow: bool, timeout: int) -> int:
    """Build on CodeBuild. timeout: minutes; 0: as configured."""
    from lamina.codebuild.build import build_on_codebuild
    from lamina.codebuild.run import CodeBuildOptions

    prepare(session)
    options = CodeBuildOptions(wait=wait, follow=follow, timeout=timeout or None)
    return report(session, "codebuild.build", lambda: build_on_codebuild(session, options))
