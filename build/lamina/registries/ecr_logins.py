"""Logins by AWS credentials to ECR registries that docker has no credentials for, as images in FROM need.

A token is valid for every registry of its region that the caller may use, in other accounts as well.
ECR Public also serves anonymous pulls, with lower limits.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.aws.clients import PUBLIC, Access, Clients, boto_clients
from lamina.aws.errors import aws_errors
from lamina.errors import Problem, RegistryError
from lamina.files import cache_home
from lamina.process import Runner
from lamina.refs import ECR_PUBLIC_REGION, EcrHost, Reference, is_ecr_public
from lamina.registries.credentials import Credential, DockerConfig, docker_folder, lookup
from lamina.registries.docker_home import PrivateDockerConfig
from lamina.registries.ecr_token import MARGIN, EcrSettings, identity_of

if TYPE_CHECKING:
    from mypy_boto3_ecr.type_defs import AuthorizationDataTypeDef
    from mypy_boto3_ecr_public.type_defs import AuthorizationDataTypeDef as PublicAuthorizationData

_ANONYMOUS = timedelta(hours=12)
"""How long a failed request for a token of ECR Public is remembered."""
_EVIDENT = (
    *("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
)


class EcrLogins:
    """Tokens by service and region, each requested once and stored while it is valid. Thread-safe.

    Args:
        clock: the current time with a time zone.
        open_clients: makes the clients of a region.
        learn: receives the secrets to mask as they become known.
        public: whether to log in to ECR Public; None: if credentials are evident, and silently.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        environ: Mapping[str, str] | None = None,
        open_clients: Callable[[Access], Clients] = boto_clients,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        learn: Callable[..., None] = lambda *_: None,
        public: bool | None = None,
    ) -> None:
        self._runner = runner
        self._environ = os.environ if environ is None else environ
        self._open = open_clients
        self._clock = clock
        self._learn = learn
        self._lock = threading.Lock()
        self._public = public
        self._tokens: dict[str, Credential | None] = {}
        self._refused: tuple[Problem, ...] = ()
        """Why there is no token of ECR Public."""

    def credential(self, host: str) -> Credential | None:
        """Return AWS' credential for a host; None for a host outside ECR, or for anonymous ECR Public.

        Raises RegistryError.
        """
        known = EcrHost.of(Reference(host=host, repository="any"))
        if known:
            return self._token("ecr", known.region)
        wanted = self._evident if self._public is None else self._public
        if not is_ecr_public(host) or not wanted:
            return None
        return self._token(PUBLIC, ECR_PUBLIC_REGION)

    def environment(
        self, hosts: Iterable[str], base: Mapping[str, str]
    ) -> tuple[Mapping[str, str], tuple[Problem, ...]]:
        """Return the variables that log docker in to ``hosts``, and the problems of hosts without a token.

        Hosts for which docker has credentials already are left alone. base: docker's other variables.
        """
        config = DockerConfig.load({**self._environ, **base})
        found: dict[str, Credential] = {}
        problems: list[Problem] = []
        for host in sorted(set(hosts)):
            try:
                credential = None if self._has(config, host) else self.credential(host)
            except RegistryError as error:
                problems += error.problems
                continue
            if credential:
                found[host] = credential
            elif self._public and is_ecr_public(host):
                problems += (
                    replace(each, what=f"pulled without a login: {each.what}") for each in self._refused
                )
        if not found:
            return base, tuple(problems)
        identity = hashlib.sha256("\n".join((str(config.folder), *found)).encode()).hexdigest()[:16]
        home = PrivateDockerConfig.under(cache_home(self._environ), f"from-{identity}", config)
        home.extend(found)
        home.sweep(self._clock())
        return {**home.environment, **base, "DOCKER_CONFIG": str(home.path)}, tuple(problems)

    def _has(self, config: DockerConfig, host: str) -> bool:
        """Whether docker has a valid credential; also when its helper fails, which docker reports itself."""
        try:
            found = lookup(self._runner, host, config=config)
        except RegistryError:
            return True
        ends = _end_of(found) if found else None
        return found is not None and (ends is None or ends > self._clock().timestamp())

    def _token(self, service: str, region: str) -> Credential | None:
        key = f"{service}.{region}"
        with self._lock:
            if key not in self._tokens:
                self._tokens[key] = self._kept_or_new(key, service, region)
                self._learn(*(made.secrets if (made := self._tokens[key]) else ()))
            return self._tokens[key]

    def _kept_or_new(self, key: str, service: str, region: str) -> Credential | None:
        """Return the stored token while it is valid, else a new one. ECR Public's refusal is stored too."""
        identity = identity_of(EcrSettings(region=region, host=key), self._environ)
        user = DockerConfig(folder=docker_folder(self._environ))
        home = PrivateDockerConfig.under(cache_home(self._environ), identity, user)
        now, kept = self._clock(), home.kept()
        is_kept = kept and kept.host == key and kept.expires and kept.expires > now + MARGIN
        if kept and is_kept and (kept.credential or not self._public):
            return kept.credential
        try:
            made, expires = self._ask(service, region)
        except RegistryError as error:
            if service != PUBLIC:
                raise
            self._refused = error.problems
            made, expires = None, now + _ANONYMOUS  # anonymous pulls work
        home.write(key, made, expires if expires and expires > now else None)
        return made

    def _ask(self, service: str, region: str) -> tuple[Credential | None, datetime | None]:
        with aws_errors():
            clients = self._open(Access(region=region))
            data: AuthorizationDataTypeDef | PublicAuthorizationData
            if service == PUBLIC:
                data = clients(PUBLIC).get_authorization_token()["authorizationData"]
            else:
                data = clients("ecr").get_authorization_token()["authorizationData"][0]
        username, _, secret = b64decode(data["authorizationToken"]).decode().partition(":")
        return Credential(username=username, secret=secret), data.get("expiresAt")

    @property
    def _evident(self) -> bool:
        """Whether AWS credentials are configured, apart from instance metadata, which may not answer."""
        home = Path(self._environ.get("HOME") or Path.home()) / ".aws"
        named = [self._environ.get(name) for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")]
        files = [Path(each) for each in named if each] or [home / "config", home / "credentials"]
        return any(self._environ.get(name) for name in _EVIDENT) or any(each.is_file() for each in files)


def _end_of(token: Credential) -> float | None:
    """Return the expiry in an ECR token, in seconds since the epoch; None when it has none."""
    try:
        return float(json.loads(b64decode(token.secret))["expiration"])
    except (ValueError, TypeError, LookupError):
        return None
