"""Tasks about where images live and what they stand on: login, pull, lock, config."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task

from lamina.declare.settings import SETTINGS
from lamina.flow.session import Flags
from lamina.report.document import lock_documents
from lamina.tasks.frame import helps, open_session


@task(help=helps("registry", "json"))
def login(_: Context, registry: str | None = None, json: bool = False) -> None:
    """Get into the registry: for ECR a token, kept for docker and buildx; else docker's own credentials."""
    with open_session("login", Flags(registry=registry), json=json) as session:
        from lamina.flow.login import enter

        session.screen.say(enter(session))
        session.screen.finish("login", ok=True, images=[])


@task(iterable=["image"], help=helps("image", "registry", "stack", "platform", "stall", "json"))
def pull(
    _: Context,
    image: list[str],
    registry: str | None = None,
    stack: str | None = None,
    platform: str | None = None,
    stall: int | None = None,
    json: bool = False,
) -> None:
    """Warm the engine with what the next build stands on, by digest. What is absent is only reported."""
    flags = Flags(images=tuple(image), registry=registry, stack=stack, platform=platform, stall=stall)
    with open_session("pull", flags, json=json) as session:
        from lamina.flow.login import warm

        rows = list(warm(session))
        session.screen.rows(("image", "state"), rows, wide="state")
        session.screen.finish("pull", ok=True, images=[{"name": name, "state": what} for name, what in rows])


@task(
    iterable=["image"],
    help={
        **helps("json"),
        "image": "only what this image stands on (may be given several times)",
        "refresh": "ask the registries again for what is pinned already, and drop what no Dockerfile uses",
        "dry-run": "show what would change and what that would rebuild, and write nothing",
    },
)
def lock(
    _: Context, image: list[str], refresh: bool = False, dry_run: bool = False, json: bool = False
) -> None:
    """Pin the images that the project stands on in lamina.lock, by digest."""
    with open_session("lock", Flags(images=tuple(image)), json=json) as session:
        from lamina.flow.lock import make_lock, write_lock

        found = make_lock(session, refresh=refresh, dry_run=dry_run)
        session.screen.headline(found.headline)
        session.screen.notes(found.notes)
        rows = ((move.name, str(move), ", ".join(move.rebuilds)) for move in found.moves)
        session.screen.rows(("image", "digest", "rebuilds"), rows, wide="rebuilds")
        writes = found.after != found.before and not dry_run
        if writes:
            write_lock(session, found.after)
        session.screen.say("lamina.lock is written: commit it" if writes else "lamina.lock stays as it is")
        session.screen.finish("lock", ok=True, images=lock_documents(found.moves), written=writes)


@task(help=helps("json"))
def config(_: Context, json: bool = False) -> None:
    """Print every setting with its value and where that was set, and the images that were found."""
    with open_session("config", Flags(), json=json) as session:
        settings = session.project.settings
        session.screen.rows(
            ("setting", "value", "source", "meaning"),
            ((name, str(value.value), value.source, SETTINGS[name].help) for name, value in settings.items()),
            wide="meaning",
        )
        nodes = session.graph.nodes.values()
        session.screen.rows(
            ("image", "kind", "Dockerfile", "stands on"),
            ((node.name, node.kind, node.spec.dockerfile_path, ", ".join(node.parents)) for node in nodes),
            wide="stands on",
        )
        documents = [
            {"name": node.name, "kind": node.kind, "dockerfile": node.spec.dockerfile_path,
             "parents": list(node.parents)}
            for node in nodes
        ]  # fmt: skip
        values = {name: {"value": value.value, "source": value.source} for name, value in settings.items()}
        session.screen.finish("config", ok=True, images=documents, settings=values)
