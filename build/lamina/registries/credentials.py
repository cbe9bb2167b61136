"""Docker's credentials: read where docker keeps them, and kept apart from there when they are ours.

The order is docker's own: a `credHelpers` entry for the host, else `credsStore`, else `auths`.
"""

from __future__ import annotations

import binascii
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lamina.errors import RegistryError
from lamina.process import Command, Runner

_HUB = "https://index.docker.io/v1/"  # the key under which docker keeps Docker Hub
_HUB_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_TOKEN_USER = "<token>"  # noqa: S105 - a helper's way to say that the secret is an identity token
_NOT_FOUND = ("credentials not found", "not found in keychain", "could not be found in the keychain")
_HELPER_SECONDS = 30.0
_SECRET_KEYS = ("auth", "password", "identitytoken", "registrytoken")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A user and a secret. identity: the secret is a refresh token for the registry's token service."""

    username: str
    secret: str = field(repr=False)
    identity: bool = False

    @property
    def encoded(self) -> str:
        """``base64(user:secret)``: what HTTP Basic and docker's `auths` hold. A secret itself."""
        return b64encode(f"{self.username}:{self.secret}".encode()).decode()

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be read anywhere."""
        return (self.secret, self.encoded)


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerConfig:
    """The user's docker configuration. folder: where it is, also where contexts and builders live."""

    folder: Path
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> DockerConfig:
        """Read ``$DOCKER_CONFIG/config.json``, else ``~/.docker/config.json``; a missing file is empty.

        Raises RegistryError when the file cannot be read or is no JSON object.
        """
        folder = docker_folder(environ)
        return cls(folder=folder, document=_configuration(folder / "config.json"))

    def helper(self, host: str) -> str | None:
        """``X`` of the ``docker-credential-X`` which `credHelpers` or `credsStore` names for the host."""
        return self.own_helper(host) or self.document.get("credsStore") or None

    def own_helper(self, host: str) -> str | None:
        """The helper named for this very host by `credHelpers`."""
        helpers = self.document.get("credHelpers") or {}
        return next((str(helpers[key]) for key in _keys(host) if helpers.get(key)), None)

    def stored(self, host: str) -> Credential | None:
        """The host's entry in `auths`, under any of the spellings docker accepts."""
        auths = self.document.get("auths") or {}
        wanted = _keys(host)
        for key, entry in auths.items():
            if isinstance(entry, dict) and (key in wanted or _bare(key) in wanted):
                if token := entry.get("identitytoken"):
                    return Credential(username=_TOKEN_USER, secret=str(token), identity=True)
                if pair := _decoded(str(entry.get("auth") or "")):
                    return Credential(username=pair[0], secret=pair[1])
                if entry.get("username") and entry.get("password"):
                    return Credential(username=str(entry["username"]), secret=str(entry["password"]))
        return None

    @property
    def secrets(self) -> frozenset[str]:
        """All that must not be read in `auths`, of whatever host."""
        found: set[str] = set()
        for host, entry in (self.document.get("auths") or {}).items():
            if isinstance(entry, dict):
                found.update(str(entry.get(key) or "") for key in _SECRET_KEYS)
                found.add(stored.secret if (stored := self.stored(host)) else "")
        return frozenset(found - {""})


def lookup(runner: Runner, host: str, *, config: DockerConfig | None = None) -> Credential | None:
    """The credential docker would use for the host, None when it has none.

    Raises RegistryError when a helper is named but missing or broken (docker fails there as well).
    """
    config = config or DockerConfig.load()
    helper = config.helper(host)
    if helper is None:
        return config.stored(host)
    found = ask_helper(runner, helper, host, where=str(config.folder / "config.json"))
    # docker never looks at `auths` beside a helper of the host's own: what is there is stale.
    return found if found or config.own_helper(host) else config.stored(host)


def ask_helper(runner: Runner, helper: str, host: str, *, where: str) -> Credential | None:
    """Run ``docker-credential-<helper> get``. Protocol: https://github.com/docker/docker-credential-helpers."""
    program = f"docker-credential-{helper}"
    key = _HUB if host in _HUB_HOSTS else host
    done = runner.run(Command(argv=(program, "get"), stdin=key.encode()), timeout=_HELPER_SECONDS)
    if done.code == 127:
        raise RegistryError.of(
            f"{program}, named there for {host}, is not installed",
            where=where,
            hint=f"install it, or remove the entry and run: docker login {host}",
        )
    if not done.ok:
        told = " ".join((done.stdout or done.stderr).split())[:300]
        if any(phrase in told.lower() for phrase in _NOT_FOUND):
            return None
        raise RegistryError.of(
            f"{program} gave no credentials for {host}: {told or f'exit code {done.code}'}",
            where=where,
            hint=f"try: echo {key} | {program} get",
        )
    try:
        answer = json.loads(done.stdout)
        username, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise RegistryError.of(
            f"{program} answered something that is not its protocol",
            where=where,
            allowed='{"ServerURL": …, "Username": …, "Secret": …}',
            hint=f"try: echo {key} | {program} get",
        ) from None  # the cause would carry the answer, and that may hold the secret
    if not secret:
        return None
    return Credential(username=username, secret=secret, identity=username == _TOKEN_USER)


def docker_folder(environ: Mapping[str, str] | None = None) -> Path:
    """``$DOCKER_CONFIG``, else ``~/.docker``."""
    environ = os.environ if environ is None else environ
    named = environ.get("DOCKER_CONFIG")
    return Path(named) if named else Path(environ.get("HOME") or Path.home()) / ".docker"


def _configuration(path: Path) -> dict[str, Any]:
    """The user's config.json, empty when missing. It is no cache: RegistryError when it is damaged."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise RegistryError.of(f"docker's configuration cannot be read: {reason}", where=str(path)) from error
    try:
        document = json.loads(text or "{}")
    except ValueError as error:
        raise RegistryError.of(
            f"docker's configuration is no JSON: {error}", where=str(path), hint="mend or remove the file"
        ) from error
    if not isinstance(document, dict):
        raise RegistryError.of(
            "docker's configuration is no JSON object", where=str(path), hint="mend or remove the file"
        )
    return document


def _keys(host: str) -> tuple[str, ...]:
    if host in _HUB_HOSTS:
        return (_HUB, *sorted(_HUB_HOSTS))
    return (host, f"https://{host}", f"http://{host}")


def _bare(key: str) -> str:
    """``https://host/v1/`` -> ``host``, as docker's ConvertToHostname does."""
    return key.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _decoded(auth: str) -> tuple[str, str] | None:
    try:
        username, colon, secret = b64decode(auth).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (username, secret.rstrip("\0")) if colon and username else None
