"""The three phases of the caching plan, as compositions of the other tasks."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task

from lamina.flow.session import Flags
from lamina.tasks.frame import helps, report, workspace


@task(help=helps("plain"))
def phase1(_: Context, plain: bool = False) -> None:
    """Quick wins: what is wrong with Dockerfiles, what the contexts could spare, whether BuildKit builds."""
    with workspace("phase1", Flags(), plain=plain) as made:
        from lamina.adopt.checklist import phase1_checks
        from lamina.adopt.ignore import read_ignore_files
        from lamina.adopt.show import show_checks, show_ignores
        from lamina.flow.plan import make_plan_only

        made.screen.plan(make_plan_only(made))
        show_ignores(made.screen, read_ignore_files(made))
        show_checks(made.screen, phase1_checks(made))


@task(help=helps("registry", "push", "static", "plain"))
def phase2(
    _: Context, registry: str | None = None, push: bool = False, static: bool = False, plain: bool = False
) -> None:
    """Stable development: login, pull, bases, their tags, Lambda images; --static: those on stable bases."""
    flags = Flags(registry=registry, push=push, static=static or None)
    with workspace("phase2", flags, plain=plain) as made:
        from lamina.adopt.checklist import tag_bases
        from lamina.flow.build import build_images
        from lamina.flow.login import enter, warm

        made.screen.say(enter(made))
        made.screen.rows(("image", "state"), warm(made), wide="state")
        if made.has_bases and not made.static:
            report(made, "phase2", lambda: build_images(made, "phase2", "base"))
            made.screen.say(f"tagged with the revision: {', '.join(tag_bases(made)) or 'none'}")
        report(made, "phase2", lambda: build_images(made, "phase2", "lambda"))


@task(help=helps("registry", "plain"))
def phase3(_: Context, registry: str | None = None, plain: bool = False) -> None:
    """Optimisation: which images are linked; the remote cache and remote builds."""
    with workspace("phase3", Flags(registry=registry), plain=plain) as made:
        from lamina.adopt.checklist import phase3_checks
        from lamina.adopt.show import show_checks

        nodes = made.graph.nodes.values()
        rows = ((node.name, node.recipe.unlinked or "yes", str(len(node.recipe.stages))) for node in nodes)
        made.screen.rows(("image", "linked", "stages"), rows, wide="linked")
        show_checks(made.screen, phase3_checks(made))
