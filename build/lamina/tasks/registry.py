"""Commands about the registry: login, pull, ecr.setup, gc."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.errors import LaminaError, Problem, RegistryError
from lamina.flow.session import Session
from lamina.json_data import Json
from lamina.tasks.templates import print_template

if TYPE_CHECKING:
    from lamina.aws.templates import StackTemplate


def login(session: Session) -> int:
    """Log in to the registry."""
    from lamina.flow.login import enter

    session.screen.say(enter(session))
    session.screen.finish("login", ok=True, images=[])
    return 0


def pull(session: Session) -> int:
    """Pull base images."""
    from lamina.flow.login import warm

    rows = list(warm(session))
    session.screen.rows(("image", "state"), rows, wide="state")
    session.screen.finish("pull", ok=True, images=[{"name": name, "state": what} for name, what in rows])
    return 0


def ecr_setup(session: Session, *, dry_run: bool, form: str, json: bool) -> int:
    """Bring the settings of repositories up to date; or print them for another tool, and change nothing."""
    if form:
        return print_template(session, form, lambda: _repositories(session), json=json)
    from lamina.ecr.setup import apply, plan_setup
    from lamina.ecr.show import setup_documents, show_setup

    planned = [(session, plan_setup(session))]
    others = (each for each in session.project.ecr.regions if each != planned[0][1].caller.region)
    planned += [(each, plan_setup(each)) for each in map(session.in_region, others)]
    problems: list[Problem] = []
    for each, found in planned:
        show_setup(session.screen, found)
        if dry_run or not found.changes:
            continue
        refused = apply(each, found)
        problems += refused
        if not refused:
            session.screen.say("done and verified")
    error = RegistryError(*problems) if problems else None
    changes: list[Json] = [*(each for _, found in planned for each in setup_documents(found))]
    return _end(session, "ecr.setup", error, changes=changes, dry_run=dry_run)


def _repositories(session: Session) -> StackTemplate:
    from lamina.ecr.setup import desired
    from lamina.ecr.templates import repositories

    project = session.project
    return repositories(desired(session)[1], project.stack.name, project.ecr.regions)


def gc(
    session: Session, *, apply: bool, keep_last: str | None, days: str | None, versions: str | None
) -> int:
    """List unused images; with ``apply`` delete them."""
    from lamina.ecr.gc import collect, plan_collection
    from lamina.ecr.show import (
        collection_documents,
        show_collected,
        show_collection,
        storage,
        version_documents,
    )

    found = plan_collection(session, keep_last=keep_last, days=days, versions=versions, apply=apply)
    show_collection(session.screen, found)
    collected = collect(session, found) if apply else None
    if collected:
        show_collected(session.screen, found, collected)
    documents = collection_documents(found, collected)
    error = collected.error if collected else None
    kept, doomed = storage(found)
    return _end(
        session,
        "gc",
        error,
        manifests=documents,
        versions=version_documents(found, collected),
        storage={"keep_bytes": kept, "delete_bytes_at_most": doomed},
        looked=list(found.looked),
        not_known=[each.what for each in found.unknown],
        applied=apply,
    )


def _end(session: Session, command: str, error: LaminaError | None, **more: Json) -> int:
    if error:
        session.screen.error(error)
    session.screen.finish(command, ok=error is None, images=[], **more)
    return error.exit_code if error else 0
