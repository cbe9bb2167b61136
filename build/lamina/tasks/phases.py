"""The three phases of the caching plan, composed of other commands' steps."""

from __future__ import annotations

from lamina.flow.session import Session
from lamina.tasks.frame import report


def phase1(session: Session) -> int:
    """Check, and plan."""
    from lamina.adopt.checklist import phase1_checks
    from lamina.adopt.ignore import read_ignore_files
    from lamina.adopt.show import show_checks, show_ignores
    from lamina.flow.plan import make_plan_only

    session.screen.plan(make_plan_only(session))
    show_ignores(session.screen, read_ignore_files(session))
    show_checks(session.screen, phase1_checks(session))
    return 0


def phase2(session: Session) -> int:
    """Build the bases and tag them, then the Lambda images."""
    from lamina.adopt.checklist import tag_bases
    from lamina.flow.build import build_images
    from lamina.flow.login import enter, warm

    session.screen.say(enter(session))
    session.screen.rows(("image", "state"), warm(session), wide="state")
    if session.has_bases and not session.static:
        code = report(session, "phase2", lambda: build_images(session, "phase2", "base"))
        if code:
            return code
        session.screen.say(f"tagged with the revision: {', '.join(tag_bases(session)) or 'none'}")
    return report(session, "phase2", lambda: build_images(session, "phase2", "lambda"))


def phase3(session: Session) -> int:
    """Show what can still be optimised."""
    from lamina.adopt.checklist import phase3_checks
    from lamina.adopt.show import show_checks

    nodes = session.graph.nodes.values()
    rows = ((node.name, node.recipe.unlinked or "yes", str(len(node.recipe.stages))) for node in nodes)
    session.screen.rows(("image", "linked", "stages"), rows, wide="linked")
    show_checks(session.screen, phase3_checks(session))
    return 0
