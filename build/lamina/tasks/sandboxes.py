"""Tasks about the private engine and the local registry, for machines that have none."""

from __future__ import annotations

import os

from invoke.context import Context
from invoke.tasks import task

from lamina.flow.session import Flags
from lamina.sandbox import engine, registry
from lamina.tasks.frame import workspace

_PURGE = {"purge": "remove its images and caches as well"}


def _engine() -> str:
    """The private engine that is meant: LAMINA_ENGINE, as for builds."""
    return os.environ.get("LAMINA_ENGINE") or "default"


@task
def engine_up(_: Context) -> None:
    """Start the private Docker engine (Linux, root, Debian family); nothing is installed."""
    with workspace("engine.up", Flags()) as made:
        running = engine.up(made.runner, name=_engine(), say=made.screen.say)
        made.screen.say(f"the private engine answers: export DOCKER_HOST={running.host}")


@task(help=_PURGE)
def engine_down(_: Context, purge: bool = False) -> None:
    """Stop the private Docker engine."""
    with workspace("engine.down", Flags()) as made:
        engine.down(made.runner, _engine(), purge=purge)
        made.screen.say("the private engine is down")


@task
def engine_status(_: Context) -> None:
    """Say which Docker engine would build, and whether the private one runs."""
    with workspace("engine.status", Flags()) as made:
        running = engine.recovered(made.runner, _engine(), say=made.screen.say)
        state = f"runs at {running.host} (pid {running.pid})" if running else "is down"
        made.screen.say(f"the private engine {state}")
        made.starts_engine = False
        made.screen.say(f"builds would use the {made.engine}: {made.builder}")


@task(help={"port": "the port on 127.0.0.1 (0: any that is free)"})
def registry_up(_: Context, port: int = 5000) -> None:
    """Start a local registry on the loopback interface."""
    with workspace("registry.up", Flags()) as made:
        running = registry.up(made.runner, port=port, say=made.screen.say)
        made.screen.say(f"the local registry answers: --registry {running.address}")


@task(help=_PURGE)
def registry_down(_: Context, purge: bool = False) -> None:
    """Stop the local registry."""
    with workspace("registry.down", Flags()) as made:
        registry.down(made.runner, purge=purge)
        made.screen.say("the local registry is down")
