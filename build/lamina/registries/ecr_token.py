"""The login to the account's registry in ECR: its settings, and a token that is kept while it is valid."""

from __future__ import annotations

import hashlib
import threading
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from lamina.aws.clients import Access, Clients
from lamina.aws.errors import aws_errors
from lamina.errors import RegistryError
from lamina.process import Runner
from lamina.registries.credentials import Credential, ask_helper
from lamina.registries.docker_home import Kept, PrivateDockerConfig

Mutability = Literal["MUTABLE", "IMMUTABLE", "IMMUTABLE_WITH_EXCLUSION", "MUTABLE_WITH_EXCLUSION"]

MARGIN = timedelta(minutes=15)
"""The least remaining validity of a stored token that is used, since a build may take that long."""
_MINTING = "ecr-login"  # as credsStore it issues tokens; any other store only returns old ones
_IDENTITY = (  # variables that select the identity, hashed into the name of the token's folder
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_ROLE_ARN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_ECR",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EcrSettings:
    """The project's settings of ECR; None leaves a value to AWS' own chain.

    role: is assumed for it; docker's helpers, which use the caller's own credentials, are not asked then.
    host: a registry host to use instead of AWS' own (a test double, a proxy). prefix: path before every
    repository name. All others: for repositories created by a push; exclusions are tag patterns.
    """

    account: str | None = None
    region: str | None = None
    profile: str | None = None
    role: str | None = None
    external_id: str | None = None
    host: str | None = None
    prefix: str = ""
    mutability: Mutability = "MUTABLE"
    exclusions: tuple[str, ...] = ()
    kms_key: str | None = None
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def access(self) -> Access:
        """The identity with which AWS is asked."""
        return Access(region=self.region, profile=self.profile, role=self.role, external_id=self.external_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A login. source: `ecr token`, `still valid` or `credential helper X`. expires: None when unknown."""

    host: str
    expires: datetime | None
    source: str


class EcrAuthenticator:
    """Provides the credential of one identity. It asks AWS once, and not while a stored token is valid.

    clients: makes boto3 clients by service name. clock: the current time with a time zone. learn: receives
    the secrets to mask as they become known.
    """

    def __init__(
        self,
        runner: Runner,
        settings: EcrSettings,
        *,
        clients: Clients,
        home: PrivateDockerConfig,
        clock: Callable[[], datetime],
        learn: Callable[..., None] = lambda *_: None,
    ) -> None:
        self._runner = runner
        self._settings = settings
        self._clients = clients
        self._learn = learn
        self._home = home
        self._clock = clock
        self._lock = threading.RLock()
        self._login: Login | None = None
        self._credential: Credential | None = None
        self._handed: Credential | None = None

    @property
    def home(self) -> PrivateDockerConfig:
        """The docker configuration with the token, for buildx."""
        return self._home

    def login(self, *, fresh: bool = False) -> Login:
        """Log in by a credential helper, a stored token or a new one. ``fresh`` ignores a stored token.

        Afterwards `home` is written, so that docker and buildx are logged in as well. Raises RegistryError.
        """
        with self._lock:
            if self._login is None or fresh:
                self._login = self._enter(fresh=fresh)
                self._learn(*(self._credential.secrets if self._credential else ()))
            return self._login

    def credential(self, *, fresh: bool) -> Credential | None:
        """Return the credential; see `CredentialSource`."""
        with self._lock:
            newer = self._credential is not None and self._credential is not self._handed
            self.login(fresh=fresh and not newer)  # another caller may have renewed it already
            self._handed = self._credential
            return self._credential

    def _enter(self, *, fresh: bool) -> Login:
        kept = self._home.kept()
        host = self._settings.host or (kept.host if kept else None)
        if host and (login := self._by_helper(host)):
            return login
        if kept and kept.credential and not fresh and kept.host == host and self._usable(kept):
            self._credential = kept.credential
            self._home.write(
                kept.host, kept.credential, kept.expires
            )  # the user's configuration may have changed
            return Login(host=kept.host, expires=kept.expires, source="still valid")
        host, credential, expires = self._token()
        if login := self._by_helper(host):
            return login
        self._credential = credential
        self._home.write(host, credential, expires)
        self._home.sweep(self._clock())
        return Login(host=host, expires=expires, source="ecr token")

    def _by_helper(self, host: str) -> Login | None:
        if self._settings.role:
            return None
        user = self._home.user
        helper = user.own_helper(host) or (user.helper(host) if user.helper(host) == _MINTING else None)
        if helper is None:
            return None
        where = str(user.folder / "config.json")
        self._credential = ask_helper(self._runner, helper, host, where=where)
        if self._credential is None:
            raise RegistryError.of(
                f"docker-credential-{helper} has no credentials for {host}",
                where=where,
                hint=f"log in as {helper} documents it, or remove the host from credHelpers",
            )
        self._home.write(host, None, None)
        return Login(host=host, expires=None, source=f"credential helper {helper}")

    def _usable(self, kept: Kept) -> bool:
        return kept.expires is not None and kept.expires > self._clock() + MARGIN

    def _token(self) -> tuple[str, Credential, datetime | None]:
        account = self._settings.account
        with aws_errors():
            client = self._clients("ecr")
            # registryIds only selects the endpoint; the token is valid for every registry the caller may use.
            answer = client.get_authorization_token(**({"registryIds": [account]} if account else {}))
        found = next(iter(answer.get("authorizationData", ())), None)
        if not found or "authorizationToken" not in found:
            raise RegistryError.of("AWS gave no token", where="AWS GetAuthorizationToken")
        username, _, secret = b64decode(found["authorizationToken"]).decode().partition(":")
        host = self._settings.host or urlsplit(found.get("proxyEndpoint", "")).netloc
        if not host:
            raise RegistryError.of(
                "AWS named no registry",
                where="AWS GetAuthorizationToken",
                hint="set the registry's host in [tool.lamina]",
            )
        expires = found.get("expiresAt")
        if expires is not None and expires <= self._clock():
            expires = None  # not plausible, as from test doubles: usable now, not in a later run
        return host, Credential(username=username, secret=secret), expires


def identity_of(settings: EcrSettings, environ: Mapping[str, str]) -> str:
    """Return a short name for these credentials at this registry, so that identities never share a token."""
    parts = [str(part) for part in (settings.account, settings.region, settings.profile, settings.host)]
    if settings.role:
        parts += [settings.role, str(settings.external_id)]
    parts += [environ.get(name, "") for name in _IDENTITY]
    home = Path(environ.get("HOME") or Path.home()) / ".aws"
    for variable, name in (("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")):
        path = Path(environ.get(variable) or home / name)
        try:
            parts.append(f"{path} {path.stat().st_mtime_ns}")  # an edited profile is another identity
        except OSError:
            parts.append(str(path))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
