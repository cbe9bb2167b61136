"""Tasks about the private engine and the local registry, for machines without Docker or a registry."""

from __future__ import annotations

import os

from invoke.context import Context
from invoke.tasks import task

from lamina.flow.session import Flags
from lamina.sandbox import engine, registry
from lamina.tasks.frame import open_session

_PURGE = {"purge": "also remove its images and caches"}


def _engine() -> str:
    """Return the private engine's name: LAMINA_ENGINE, as for builds."""
    return os.environ.get("LAMINA_ENGINE") or "default"


@task
def engine_up(_: Context) -> None:
    """Start the private Docker engine (Linux, root, Debian family); nothing is installed."""
    with open_session("engine.up", Flags()) as session:
        running = engine.up(session.runner, name=_engine(), say=session.screen.say)
        session.screen.say(f"the private engine answers: export DOCKER_HOST={running.host}")


@task(help=_PURGE)
def engine_down(_: Context, purge: bool = False) -> None:
    """Stop the private Docker engine."""
    with open_session("engine.down", Flags()) as session:
        engine.down(session.runner, _engine(), purge=purge)
        session.screen.say("the private engine is down")


@task
def engine_status(_: Context) -> None:
    """Show which Docker engine would build, and whether the private one runs."""
    with open_session("engine.status", Flags()) as session:
        running = engine.recovered(session.runner, _engine(), say=session.screen.say)
        state = f"runs at {running.host} (pid {running.pid})" if running else "is down"
        session.screen.say(f"the private engine {state}")
        session.starts_engine = False
        session.screen.say(f"builds would use the {session.engine}: {session.builder}")


@task(help={"port": "the port on 127.0.0.1 (0: any free one)"})
def registry_up(_: Context, port: int = 5000) -> None:
    """Start a local registry on the loopback interface."""
    with open_session("registry.up", Flags()) as session:
        running = registry.up(session.runner, port=port, say=session.screen.say)
        session.screen.say(f"the local registry answers: --registry {running.address}")


@task(help=_PURGE)
def registry_down(_: Context, purge: bool = False) -> None:
    """Stop the local registry."""
    with open_session("registry.down", Flags()) as session:
        registry.down(session.runner, purge=purge)
        session.screen.say("the local registry is down")
