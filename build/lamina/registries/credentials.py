"""Credentials from docker's configuration, read as docker reads them; never written to it.

The order is docker's own: a `credHelpers` entry for the host, else `credsStore`, else `auths`.
"""

from __future__ import annotations

import binascii
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import TypedDict, cast

from lamina.errors import RegistryError
from lamina.process import Command, Runner
from lamina.values import dataclass

_HUB = "https://index.docker.io/v1/"  # docker's key for Docker Hub
_HUB_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_TOKEN_USER = "<token>"  # noqa: S105 - the user name with which helpers return an identity token
_NOT_FOUND = ("credentials not found", "not found in keychain", "could not be found in the keychain")
_HELPER_SECONDS = 30.0
_SECRET_KEYS = ("auth", "password", "identitytoken", "registrytoken")


class DockerAuth(TypedDict, total=False):
    """The login of a host in docker's configuration. auth: base64 of ``user:password``."""

    auth: str
    username: str
    password: str
    identitytoken: str
    registrytoken: str


class DockerConfigFile(TypedDict, total=False):
    """Docker's config.json, as far as it is read; other keys stay in it."""

    auths: dict[str, DockerAuth] | None
    credHelpers: dict[str, str] | None
    credsStore: str
    cliPluginsExtraDirs: list[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A user and a secret. identity: the secret is a refresh token for the registry's token service."""

    username: str
    secret: str = field(repr=False)
    identity: bool = False

    @property
    def encoded(self) -> str:
        """``base64(user:secret)``, as in HTTP Basic and docker's `auths`. A secret itself."""
        return b64encode(f"{self.username}:{self.secret}".encode()).decode()

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values to mask."""
        return (self.secret, self.encoded)


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerConfig:
    """The user's docker configuration. folder: its folder, which also holds contexts and builders."""

    folder: Path
    document: DockerConfigFile = field(default_factory=DockerConfigFile, repr=False)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> DockerConfig:
        """Read ``$DOCKER_CONFIG/config.json``, else ``~/.docker/config.json``; a missing file is empty.

        Raises RegistryError when the file cannot be read or is not a JSON object.
        """
        folder = docker_folder(environ)
        return cls(folder=folder, document=_configuration(folder / "config.json"))

    def helper(self, host: str) -> str | None:
        """Return ``X`` of the ``docker-credential-X`` in `credHelpers` or `credsStore` for the host."""
        return self.own_helper(host) or self.document.get("credsStore") or None

    def own_helper(self, host: str) -> str | None:
        """Return the helper in `credHelpers` for this host."""
        helpers = self.document.get("credHelpers") or {}
        return next((str(helpers[key]) for key in _keys(host) if helpers.get(key)), None)

    def stored(self, host: str) -> Credential | None:
        """Return the host's credential in `auths`, under any spelling that docker accepts."""
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
        """The values to mask from `auths`, of every host."""
        found: set[str] = set()
        for host, entry in (self.document.get("auths") or {}).items():
            if isinstance(entry, dict):
                found.update(str(entry.get(key) or "") for key in _SECRET_KEYS)
                found.add(stored.secret if (stored := self.stored(host)) else "")
        return frozenset(found - {""})


def lookup(runner: Runner, host: str, *, config: DockerConfig | None = None) -> Credential | None:
    """Return the credential that docker would use for the host; None when it has none.

    Raises RegistryError when a configured helper is missing or broken, where docker fails as well.
    """
    config = config or DockerConfig.load()
    helper = config.helper(host)
    if helper is None:
        return config.stored(host)
    found = ask_helper(runner, helper, host, where=str(config.folder / "config.json"))
    # docker ignores `auths` for a host with its own helper: an entry there is stale.
    return found if found or config.own_helper(host) else config.stored(host)


def ask_helper(runner: Runner, helper: str, host: str, *, where: str) -> Credential | None:
    """Run ``docker-credential-<helper> get``; None when it has no credential for the host.

    Protocol: https://github.com/docker/docker-credential-helpers. Raises RegistryError.
    """
    program = f"docker-credential-{helper}"
    key = _HUB if host in _HUB_HOSTS else host
    done = runner.run(Command(argv=(program, "get"), stdin=key.encode()), timeout=_HELPER_SECONDS)
    if done.code == 127:
        raise RegistryError.of(
            f"{program}, configured for {host}, is not installed",
            where=where,
            hint=f"install it, or remove the entry and run: docker login {host}",
        )
    if not done.ok:
        message = " ".join((done.stdout or done.stderr).split())[:300]
        if any(phrase in message.lower() for phrase in _NOT_FOUND):
            return None
        raise RegistryError.of(
            f"{program} gave no credentials for {host}: {message or f'exit code {done.code}'}",
            where=where,
            hint=f"try: echo {key} | {program} get",
        )
    try:
        answer = json.loads(done.stdout)
        username, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise RegistryError.of(
            f"{program} does not follow the protocol of credential helpers",
            where=where,
            allowed='{"ServerURL": …, "Username": …, "Secret": …}',
            hint=f"try: echo {key} | {program} get",
        ) from None  # the cause would carry the output, which may hold the secret
    if not secret:
        return None
    return Credential(username=username, secret=secret, identity=username == _TOKEN_USER)


def docker_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return ``$DOCKER_CONFIG``, else ``~/.docker``."""
    environ = os.environ if environ is None else environ
    named = environ.get("DOCKER_CONFIG")
    return Path(named) if named else Path(environ.get("HOME") or Path.home()) / ".docker"


def _configuration(path: Path) -> DockerConfigFile:
    """Read config.json; a missing file is empty. Raises RegistryError when it is damaged."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise RegistryError.of(f"docker's configuration cannot be read: {reason}", where=str(path)) from error
    try:
        document = json.loads(text or "{}")
    except ValueError as error:
        raise RegistryError.of(
            f"docker's configuration is not JSON: {error}", where=str(path), hint="fix or remove the file"
        ) from error
    if not isinstance(document, dict):
        raise RegistryError.of(
            "docker's configuration is not a JSON object", where=str(path), hint="fix or remove the file"
        )
    return cast("DockerConfigFile", document)


def _keys(host: str) -> tuple[str, ...]:
    if host in _HUB_HOSTS:
        return (_HUB, *sorted(_HUB_HOSTS))
    return (host, f"https://{host}", f"http://{host}")


def _bare(key: str) -> str:
    """Return ``host`` of ``https://host/v1/``, as docker's ConvertToHostname does."""
    return key.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _decoded(auth: str) -> tuple[str, str] | None:
    try:
        username, colon, secret = b64decode(auth).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (username, secret.rstrip("\0")) if colon and username else None
