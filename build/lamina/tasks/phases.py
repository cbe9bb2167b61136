"""The three phases of the caching plan, composed of the other tasks' steps."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task

from lamina.flow.session import Flags
from lamina.tasks.frame import helps, open_session, report


@task(help=helps("plain"))
def phase1(_: Context, plain: bool = False) -> None:
    """Quick wins: check Dockerfiles, ignore files and the engine; show the plan."""
    with open_session("phase1", Flags(), plain=plain) as session:
        from lamina.adopt.checklist import phase1_checks
        from lamina.adopt.ignore import read_ignore_files
        from lamina.adopt.show import show_checks, show_ignores
        from lamina.flow.plan import make_plan_only

        session.screen.plan(make_plan_only(session))
        show_ignores(session.screen, read_ignore_files(session))
        show_checks(session.screen, phase1_checks(session))


@task(help=helps("registry", "push", "static", "plain"))
def phase2(
    _: Context, registry: str | None = None, push: bool = False, static: bool = False, plain: bool = False
) -> None:
    """Stable development: log in, pull, build and tag the bases, build the Lambda images.

    With --static: build only the Lambda images, on the stable bases.
    """
    flags = Flags(registry=registry, push=push, static=static or None)
    with open_session("phase2", flags, plain=plain) as session:
        from lamina.adopt.checklist import tag_bases
        from lamina.flow.build import build_images
        from lamina.flow.login import enter, warm

        session.screen.say(enter(session))
        session.screen.rows(("image", "state"), warm(session), wide="state")
        if session.has_bases and not session.static:
            report(session, "phase2", lambda: build_images(session, "phase2", "base"))
            session.screen.say(f"tagged with the revision: {', '.join(tag_bases(session)) or 'none'}")
        report(session, "phase2", lambda: build_images(session, "phase2", "lambda"))


@task(help=helps("registry", "plain"))
def phase3(_: Context, registry: str | None = None, plain: bool = False) -> None:
    """Optimisation: show which images are linked, and check the remote cache and remote builds."""
    with open_session("phase3", Flags(registry=registry), plain=plain) as session:
        from lamina.adopt.checklist import phase3_checks
        from lamina.adopt.show import show_checks

        nodes = session.graph.nodes.values()
        rows = ((node.name, node.recipe.unlinked or "yes", str(len(node.recipe.stages))) for node in nodes)
        session.screen.rows(("image", "linked", "stages"), rows, wide="linked")
        show_checks(session.screen, phase3_checks(session))
