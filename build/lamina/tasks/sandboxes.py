"""Commands about the private engine and the local registry, for machines without Docker or a registry."""

from __future__ import annotations

import os

from lamina.errors import ConfigError
from lamina.flow.session import Session
from lamina.wiring import sandbox

_PORTS = 1 << 16


def _engine() -> str:
    """Return the private engine's name: LAMINA_ENGINE, as for builds."""
    return os.environ.get("LAMINA_ENGINE") or "default"


def engine_up(session: Session) -> int:
    """Start the engine."""
    running = sandbox().start_engine(session.runner, _engine(), say=session.screen.say)
    session.screen.say(f"the private engine answers: export DOCKER_HOST={running.host}")
    return 0


def engine_down(session: Session, *, purge: bool) -> int:
    """Stop the engine."""
    sandbox().stop_engine(session.runner, _engine(), purge=purge)
    session.screen.say("the private engine is down")
    return 0


def engine_status(session: Session) -> int:
    """Show the engine that would build."""
    running = sandbox().find_engine(session.runner, _engine(), say=session.screen.say)
    state = f"runs at {running.host} (pid {running.pid})" if running else "is down"
    session.screen.say(f"the private engine {state}")
    found = session.without_start()
    session.screen.say(f"builds would use the {found.engine}: {found.builder}")
    return 0


def registry_up(session: Session, *, port: int) -> int:
    """Start the registry."""
    if port not in range(_PORTS):
        raise ConfigError.of(
            f"{port} is not a port", where="--port", allowed=f"1 to {_PORTS - 1}, or 0 for any free one"
        )
    running = sandbox().start_registry(session.runner, port=port, say=session.screen.say)
    session.screen.say(f"the local registry answers: --registry {running.address}")
    return 0


def registry_down(session: Session, *, purge: bool) -> int:
    """Stop the registry."""
    sandbox().stop_registry(session.runner, purge=purge)
    session.screen.say("the local registry is down")
    return 0
