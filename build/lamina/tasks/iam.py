"""The command that prints the policies of all others: iam."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lamina.flow.session import Session
from lamina.tasks.templates import print_template

if TYPE_CHECKING:
    from lamina.aws.templates import StackTemplate


def iam(session: Session, *, policies: tuple[str, ...], form: str, as_json: bool) -> int:
    """Print policies as JSON, by name; or as a template for another tool."""
    if form:
        return print_template(session, form, lambda: _template(session, policies), json=as_json)
    from lamina.iam.iam import make_policies

    made = make_policies(session, policies)
    if not as_json:
        session.screen.text(json.dumps(made.printed, indent=2) + "\n")
    session.screen.finish("iam", ok=True, images=[], policies=made.printed)
    return 0


def _template(session: Session, policies: tuple[str, ...]) -> StackTemplate:
    from lamina.iam.iam import make_template

    return make_template(session, policies)
