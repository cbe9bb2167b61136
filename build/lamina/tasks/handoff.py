"""The command that gives image references to other deployment tools: outputs."""

from __future__ import annotations

from lamina.flow.session import Session


def outputs(session: Session, *, form: str, plan_only: bool, allow_stale: bool) -> int:
    """Print the references of images."""
    from lamina.handoff.formats import render
    from lamina.handoff.outputs import resolve_outputs

    found = resolve_outputs(session, plan_only=plan_only, allow_stale=allow_stale)
    session.screen.text(render(form, found))
    return 0
