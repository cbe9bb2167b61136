"""Docker's contexts, chosen and read as the docker command does it.

docker-py reads them too, but takes longer to import than a plan of an unchanged project takes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from lamina.errors import EngineError
from lamina.registries.credentials import docker_folder
from lamina.values import dataclass

DEFAULT_HOST = "unix:///var/run/docker.sock"
_DEFAULT = "default"
"""The context that is in no file: `DEFAULT_HOST`."""
_LIST = "docker context ls"


class _ContextChoice(TypedDict, total=False):
    """Docker's config.json, as far as it is read here."""

    currentContext: str


class _ContextEndpoint(TypedDict):
    Host: str


class _ContextFile(TypedDict):
    """A context's meta.json, as far as it is read here."""

    Name: str
    Endpoints: dict[str, _ContextEndpoint]


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerContext:
    """A named engine.

    Attributes:
        host: as in DOCKER_HOST.
        certificates: the folder of its TLS certificates, with the names that DOCKER_CERT_PATH expects.
    """

    name: str
    host: str
    certificates: Path | None


def chosen_host(env: Mapping[str, str]) -> tuple[str, bool]:
    """Return the address of the user's engine, and whether the user chose it explicitly.

    DOCKER_HOST counts before DOCKER_CONTEXT, and that before the current context of docker's configuration.
    Raises EngineError for a context that does not exist or cannot be used.
    """
    if env.get("DOCKER_HOST"):
        return env["DOCKER_HOST"], True
    folder = docker_folder(env)
    name, where = env.get("DOCKER_CONTEXT"), "$DOCKER_CONTEXT"
    if not name:
        name, where = _current(folder / "config.json"), str(folder / "config.json")
    if not name or name == _DEFAULT:
        return DEFAULT_HOST, False
    found = _read(folder, hashlib.sha256(name.encode()).hexdigest())
    if found is None:
        others = [_DEFAULT, *sorted(each.name for each in contexts(env))]
        raise EngineError.of(
            f"there is no docker context {name!r}", where=where, allowed=", ".join(others), hint=_LIST
        )
    if found.certificates and not found.host.startswith(("unix:", "ssh:")):
        raise EngineError.of(
            f"the docker context {name!r} uses TLS certificates, which are read from variables only",
            where=where,
            hint=f"export DOCKER_HOST={found.host} DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH={found.certificates}",
        )
    return found.host, True


def contexts(env: Mapping[str, str]) -> tuple[DockerContext, ...]:
    """Return all contexts that can be read, by name."""
    folder = docker_folder(env)
    found = []
    for each in (folder / "contexts/meta").glob("*/meta.json"):
        try:
            found.append(_read(folder, each.parent.name))
        except EngineError:
            continue
    return tuple(sorted((each for each in found if each), key=lambda each: each.name))


def _current(path: Path) -> str | None:
    """Return the context that docker's configuration names. A damaged file names none, as for docker."""
    try:
        document: _ContextChoice = json.loads(path.read_bytes())
        name = document.get("currentContext")
    except (OSError, ValueError, AttributeError):
        return None
    return name if isinstance(name, str) else None


def _read(folder: Path, identity: str) -> DockerContext | None:
    """Read a context; None if there is none. identity: the sha256 of its name, which is its folder."""
    path = folder / "contexts/meta" / identity / "meta.json"
    try:
        document: _ContextFile = json.loads(path.read_bytes())
        name, host = str(document["Name"]), str(document["Endpoints"]["docker"]["Host"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise EngineError.of(
            f"the docker context cannot be read: {error}", where=str(path), hint=_LIST
        ) from None
    certificates = folder / "contexts/tls" / identity / "docker"
    return DockerContext(
        name=name,
        host=host or DEFAULT_HOST,
        certificates=certificates if any(certificates.glob("*.pem")) else None,
    )
