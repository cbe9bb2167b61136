"""The command before the first deployment of a stack: bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lamina.errors import RegistryError
from lamina.flow.session import Session
from lamina.json_data import Json
from lamina.tasks.frame import report

if TYPE_CHECKING:
    from lamina.deploy.first import FirstFunction
    from lamina.ecr.desired import Provision
    from lamina.execute.outcome import Outcome


def bootstrap(session: Session, *, dry_run: bool) -> int:
    """Make what functions need before they can be created: repositories, then images.

    Functions that cannot run images are reported before anything is made.
    """
    from lamina.deploy.first import read_first
    from lamina.flow.build import build_images
    from lamina.flow.prepare import prepare

    session.graph.select(session.flags.images)  # an unknown name ends it before anything is made
    functions = read_first(session)
    made = _set_up(session, dry_run=dry_run)
    if dry_run:
        return _show_plan(session, functions, made)

    def ended(outcome: Outcome) -> dict[str, Json]:
        return _show_functions(session, functions, made, outcome)

    prepare(session)
    return report(session, "bootstrap", lambda: build_images(session, "bootstrap"), also=ended)


def _set_up(session: Session, *, dry_run: bool) -> Provision | None:
    """Create the repositories, if the registry is ECR. Raises RegistryError."""
    if not session.on_ecr:
        return None
    from lamina.ecr.setup import apply, plan_setup
    from lamina.ecr.show import show_setup

    found = plan_setup(session)
    show_setup(session.screen, found)
    if found.changes and not dry_run:
        RegistryError.check(apply(session, found))
    return found


def _show_plan(session: Session, functions: Sequence[FirstFunction], made: Provision | None) -> int:
    from lamina.flow.plan import make_plan_only
    from lamina.report.document import plan_documents

    plan = make_plan_only(session)
    session.screen.plan(plan)
    more = _show_functions(session, functions, made, None)
    session.screen.finish("bootstrap", ok=True, images=plan_documents(plan), dry_run=True, **more)
    return 0


def _show_functions(
    session: Session, functions: Sequence[FirstFunction], made: Provision | None, outcome: Outcome | None
) -> dict[str, Json]:
    """Show the functions and what to do next, unless a build failed. Return them for JSON."""
    from lamina.deploy.first import next_steps, uri_of
    from lamina.ecr.show import setup_documents

    rows = ((str(each.function), each.state, uri_of(outcome, each.image) or each.image) for each in functions)
    session.screen.rows(("function", "state", "image"), rows, wide="image")
    if outcome is None or outcome.ok:
        for line in next_steps(functions):
            session.screen.say(line)
    return {
        "changes": setup_documents(made) if made else [],
        "functions": [each.document(outcome) for each in functions],
    }
