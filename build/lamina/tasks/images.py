"""Commands about images: plan, build, tag, push."""

from __future__ import annotations

from lamina.flow.plan import make_plan_only
from lamina.flow.prepare import prepare
from lamina.flow.session import Session
from lamina.report.document import plan_documents
from lamina.tasks.command import NOT_EMPTY, TABLE
from lamina.tasks.frame import report


def plan(
    session: Session, *, json: bool, check: bool, since: str | None, form: str, shards: int | None
) -> int:
    """Show the plan, or what changed since a commit; with ``check`` end with `NOT_EMPTY` if not empty."""
    prepare(session)
    if since is not None or form != TABLE or shards is not None:
        return _plan_for_others(session, since, form, shards, json=json, check=check)
    found = make_plan_only(session)
    session.screen.plan(found)
    session.screen.finish("plan", ok=True, images=plan_documents(found))
    return NOT_EMPTY if check and not found.empty else 0


def _plan_for_others(
    session: Session, since: str | None, form: str, shards: int | None, *, json: bool, check: bool
) -> int:
    """Show affected images: those that changed since a commit, or those that the plan would build.

    shards: into how many parts the Lambda images are divided; None: into none.
    """
    from lamina.affected.batch import make_batches
    from lamina.affected.formats import affected_documents, check_format, render, show_affected
    from lamina.affected.since import affected_since, planned
    from lamina.report.predict import build_seconds

    check_format(form, json=json, shards=shards)
    if since is None:
        found = planned(make_plan_only(session), build_seconds(session.project.state))
    else:
        found = affected_since(session, since)
    session.screen.notes(found.notes)
    if form == TABLE:
        show_affected(session.screen, found)
        session.screen.finish("plan", ok=True, images=affected_documents(found.changed), since=found.revision)
    else:
        batches = make_batches(session, found.changed, shards) if shards is not None else None
        session.screen.text(render(form, found.changed, batches))
    return NOT_EMPTY if check and found.changed else 0


def build_all(session: Session) -> int:
    """Build images of both kinds."""
    return _build(session, "build-all", None)


def build_base(session: Session) -> int:
    """Build base images."""
    return _build(session, "build-base", "base")


def build_lambda(session: Session) -> int:
    """Build Lambda images, and the bases they are missing."""
    return _build(session, "build-lambda", "lambda")


def _build(session: Session, name: str, kind: str | None) -> int:
    from lamina.flow.build import build_images

    prepare(session, kind)
    return report(session, name, lambda: build_images(session, name, kind))


def tag(session: Session, *, apply: bool) -> int:
    """Print the tags of images; with ``apply`` set them. Only that needs the engine or a registry."""
    from lamina.flow.tags import apply_tags, make_tags

    tagged = make_tags(session if apply else session.offline())
    if apply:
        apply_tags(session, tagged)
    session.screen.rows(
        ("image", "tags"), ((each.image.name, " ".join(each.tags)) for each in tagged), wide="tags"
    )
    documents = [{"name": each.image.name, "tag": each.image.tag, "tags": list(each.tags)} for each in tagged]
    session.screen.finish("tag", ok=True, images=documents)
    return 0


def push(session: Session) -> int:
    """Push images that were built before."""
    from lamina.flow.push import push_built

    return report(session, "push", lambda: push_built(session))


def stable(session: Session) -> int:
    """Move the tag stable of base images."""
    from lamina.flow.tags import move_stable

    moved = move_stable(session)
    session.screen.rows(("base", "stable is now"), ((name, str(ref)) for name, ref in moved.items()))
    documents = [{"name": name, "ref": str(ref)} for name, ref in moved.items()]
    session.screen.finish("stable", ok=True, images=documents)
    return 0
