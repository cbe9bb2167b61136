"""The three phases of the caching plan, as compositions of the other tasks."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task

from lamina.tasks.frame import helps, report, workspace
from lamina.workflow.planning import make_plan_only
from lamina.workflow.workspace import Flags

_NOT_YET = "not part of this version yet"


@task(help=helps("plain"))
def phase1(_: Context, plain: bool = False) -> None:
    """Quick wins: the preflight of every image, and an engine with BuildKit."""
    with workspace("phase1", Flags(), plain=plain) as made:
        made.screen.plan(make_plan_only(made))
        made.screen.say(f"{made.engine}: {made.builder}")
        made.screen.say(f"lint of Dockerfiles and ignore files: {_NOT_YET}")


@task(help=helps("registry", "push", "static", "plain"))
def phase2(
    _: Context, registry: str | None = None, push: bool = False, static: bool = False, plain: bool = False
) -> None:
    """Stable development: login, then bases and Lambda images by content tag; --static on stable bases."""
    flags = Flags(registry=registry, push=push, static=static or None)
    with workspace("phase2", flags, plain=plain) as made:
        from lamina.workflow.access import enter
        from lamina.workflow.building import build_images

        made.screen.say(enter(made))
        report(made, "phase2", lambda: build_images(made, "phase2"))


@task(help=helps("registry", "plain"))
def phase3(_: Context, registry: str | None = None, plain: bool = False) -> None:
    """Optimisation: which images are linked; the remote cache and remote builds."""
    with workspace("phase3", Flags(registry=registry), plain=plain) as made:
        made.screen.rows(
            ("image", "linked"),
            ((node.name, node.recipe.unlinked or "yes") for node in made.graph.nodes.values()),
            wide="linked",
        )
        cache, builder = (made.project.settings[name] for name in ("cache", "builder"))
        where = "in the registry" if made.remote else "kept nowhere: images live in the engine"
        made.screen.say(f"remote cache: {cache.value} ({cache.source}), {where}")
        made.screen.say(f"builder: {builder.value or 'the engine itself'} ({builder.source})")
