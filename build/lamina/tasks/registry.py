"""Tasks about the registry as a whole: ecr.setup, gc."""

from __future__ import annotations

from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from lamina.errors import LaminaError, RegistryError
from lamina.flow.session import Flags, Session
from lamina.tasks.frame import helps, open_session


@task(
    help={
        **helps("registry", "stack", "json"),
        "dry-run": "show what would change, and change nothing",
    }
)
def ecr_setup(
    _: Context,
    registry: str | None = None,
    stack: str | None = None,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Create the repositories of this stack in ECR and bring their settings up to date; idempotent."""
    with open_session("ecr.setup", Flags(registry=registry, stack=stack), json=json) as session:
        from lamina.ecr.setup import apply, plan_setup
        from lamina.ecr.show import setup_documents, show_setup

        found = plan_setup(session)
        show_setup(session.screen, found)
        problems = () if dry_run or not found.changes else apply(session, found)
        if found.changes and not dry_run and not problems:
            session.screen.say("done and verified")
        error = RegistryError(*problems) if problems else None
        _end(session, "ecr.setup", error, changes=setup_documents(found.changes), dry_run=dry_run)


@task(
    help={
        **helps("registry", "stack", "json"),
        "apply": "delete; without it nothing is changed",
        "keep-last": "how many of the newest images to keep in each repository",
        "days": "keep images pushed within this many days",
    }
)
def gc(
    _: Context,
    apply: bool = False,
    keep_last: str | None = None,
    days: str | None = None,
    registry: str | None = None,
    stack: str | None = None,
    json: bool = False,
) -> None:
    """List the unused images of this stack, and why all others stay; with --apply, delete the unused ones."""
    with open_session("gc", Flags(registry=registry, stack=stack), json=json) as session:
        from lamina.ecr.gc import collect, plan_collection
        from lamina.ecr.show import collection_documents, show_collected, show_collection

        found = plan_collection(session, keep_last=keep_last, days=days, apply=apply)
        show_collection(session.screen, found)
        collected = collect(session, found) if apply else None
        if collected:
            show_collected(session.screen, found, collected)
        documents = collection_documents(found, collected)
        error = collected.error if collected else None
        _end(session, "gc", error, manifests=documents, looked=list(found.looked), applied=apply)


def _end(session: Session, command: str, error: LaminaError | None, **more: Any) -> None:
    if error:
        session.screen.error(error)
    session.screen.finish(command, ok=error is None, images=[], **more)
    if error:
        raise Exit(code=error.exit_code)
