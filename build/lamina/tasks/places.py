"""Tasks about registries, base images and settings: login, pull, lock, config."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task

from lamina.declare.settings import SETTINGS
from lamina.flow.session import Flags
from lamina.report.document import lock_documents
from lamina.tasks.frame import helps, open_session


@task(help=helps("registry", "json"))
def login(_: Context, registry: str | None = None, json: bool = False) -> None:
    """Log in to ECR with a token that docker and buildx use too; elsewhere check docker's own credentials."""
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
    """Pull the base images the next build needs, by digest. Missing images are reported, not an error."""
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
        "image": "only the images this image is based on (may be given several times)",
        "refresh": "resolve the pinned images again, and drop the pins that no Dockerfile uses",
        "dry-run": "show the changes and the images they would rebuild, and write nothing",
    },
)
def lock(
    _: Context, image: list[str], refresh: bool = False, dry_run: bool = False, json: bool = False
) -> None:
    """Pin the external images that the project uses in lamina.lock, by digest."""
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
    """Print every setting with its value and its source, and the images that were found."""
    with open_session("config", Flags(), json=json) as session:
        settings = session.project.settings
        session.screen.rows(
            ("setting", "value", "source", "meaning"),
            ((name, str(value.value), value.source, SETTINGS[name].help) for name, value in settings.items()),
            wide="meaning",
        )
        nodes = session.graph.nodes.values()
        session.screen.rows(
            ("image", "kind", "Dockerfile", "based on"),
            ((node.name, node.kind, node.spec.dockerfile_path, ", ".join(node.parents)) for node in nodes),
            wide="based on",
        )
        documents = [
            {"name": node.name, "kind": node.kind, "dockerfile": node.spec.dockerfile_path,
             "parents": list(node.parents)}
            for node in nodes
        ]  # fmt: skip
        values = {name: {"value": value.value, "source": value.source} for name, value in settings.items()}
        session.screen.finish("config", ok=True, images=documents, settings=values)
