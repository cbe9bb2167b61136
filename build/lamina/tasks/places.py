"""Tasks about where images live and what they stand on: login, pull, lock, config."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task

from lamina.declare.settings import SETTINGS
from lamina.tasks.frame import helps, workspace
from lamina.workflow.planning import select, write_pins
from lamina.workflow.workspace import Flags


@task(help=helps("registry", "json"))
def login(_: Context, registry: str | None = None, json: bool = False) -> None:
    """Get into the registry: for ECR a token, kept for docker and buildx; else docker's own credentials."""
    with workspace("login", Flags(registry=registry), json=json) as made:
        from lamina.workflow.access import enter

        made.screen.say(enter(made))
        made.screen.finish("login", ok=True, images=[])


@task(iterable=["image"], help=helps("image", "registry", "stack", "platform", "json"))
def pull(
    _: Context,
    image: list[str],
    registry: str | None = None,
    stack: str | None = None,
    platform: str | None = None,
    json: bool = False,
) -> None:
    """Warm the engine with what the next build stands on, by digest. What is absent is only reported."""
    flags = Flags(images=tuple(image), registry=registry, stack=stack, platform=platform)
    with workspace("pull", flags, json=json) as made:
        from lamina.workflow.access import warm

        rows = list(warm(made))
        made.screen.rows(("image", "state"), rows, wide="state")
        made.screen.finish("pull", ok=True, images=[{"name": name, "state": what} for name, what in rows])


@task(iterable=["image"], help=helps("image", "json"))
def lock(_: Context, image: list[str], json: bool = False) -> None:
    """Pin the images that the project stands on in lamina.lock, by digest."""
    with workspace("lock", Flags(images=tuple(image)), json=json) as made:
        pins = write_pins(made, select(made))
        made.screen.headline(pins.headline)
        made.screen.rows(("image", "identity"), sorted(pins.identities.items()))
        documents = [{"name": name, "digest": digest} for name, digest in sorted(pins.identities.items())]
        made.screen.finish("lock", ok=True, images=documents)


@task(help=helps("json"))
def config(_: Context, json: bool = False) -> None:
    """Print every setting with its value and where that was set, and the images that were found."""
    with workspace("config", Flags(), json=json) as made:
        settings = made.project.settings
        made.screen.rows(
            ("setting", "value", "source", "meaning"),
            ((name, str(value.value), value.source, SETTINGS[name].help) for name, value in settings.items()),
            wide="meaning",
        )
        nodes = made.graph.nodes.values()
        made.screen.rows(
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
        made.screen.finish("config", ok=True, images=documents, settings=values)
