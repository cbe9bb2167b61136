"""Find the credential that docker-py needs for a registry."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from lamina.flow.session import Session

if TYPE_CHECKING:
    from lamina.registries.credentials import Credential


def credentials(session: Session) -> Callable[[str], Credential | None]:
    """Return a function that finds the credential docker-py needs for a host; None if there is none."""
    from lamina.registries.credentials import DockerConfig, lookup

    environment = {**os.environ, **session.docker_login.environment}

    def find(host: str) -> Credential | None:
        found = lookup(session.runner, host, config=DockerConfig.load(environment))
        session.mask.learn(*(found.secrets if found else ()))
        return found

    return find
