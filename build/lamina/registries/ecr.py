"""Amazon ECR: authorization tokens and repositories by AWS' API, images by the OCI protocol.

Manifests are read by the OCI API, not by `batch_get_image`. That is one path for reading, retagging and
deleting, keeps the stored bytes and media type, and needs no boto3 while a stored token is valid.
"""

from __future__ import annotations

import hashlib
import os
import threading
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from lamina.aws.clients import CONNECTIONS, Access, Clients, boto_clients
from lamina.aws.ecr_policies import registry_owner
from lamina.aws.ecr_settings import EcrSetup, mutability_parameters
from lamina.aws.errors import aws_errors, create_command
from lamina.errors import RegistryError
from lamina.files import cache_home
from lamina.parallel import gather
from lamina.process import Runner
from lamina.refs import Reference
from lamina.registries.base import Descriptor, Manifest
from lamina.registries.credentials import Credential, DockerConfig, ask_helper
from lamina.registries.docker_home import Kept, PrivateDockerConfig
from lamina.registries.ecr_inventory import EcrInventory
from lamina.registries.http import Transport
from lamina.registries.oci import OciRegistry
from lamina.registries.refusals import Advice
from lamina.registries.session import RegistrySession
from lamina.registries.transport import HttpTransport

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

Mutability = Literal["MUTABLE", "IMMUTABLE", "IMMUTABLE_WITH_EXCLUSION", "MUTABLE_WITH_EXCLUSION"]

MARGIN = timedelta(minutes=15)
"""The least remaining validity of a stored token that is used, since a build may take that long."""
_BATCH = 100  # names per DescribeRepositories call
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

    host: a registry host to use instead of AWS' own (a test double, a proxy). prefix: path before every
    repository name. mutability, exclusions: for repositories created by a push; exclusions are tag patterns.
    """

    account: str | None = None
    region: str | None = None
    profile: str | None = None
    host: str | None = None
    prefix: str = ""
    mutability: Mutability = "MUTABLE"
    exclusions: tuple[str, ...] = ()


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


class EcrRegistry:
    """A `Registry` in ECR: repositories by AWS' API, everything else by the OCI protocol."""

    def __init__(
        self,
        settings: EcrSettings,
        authenticator: EcrAuthenticator,
        *,
        clients: Clients,
        transport: Transport,
    ) -> None:
        self._settings = settings
        self._authenticator = authenticator
        self._clients = clients
        self._transport = transport
        self._lock = threading.Lock()
        self._opened: OciRegistry | None = None

    @property
    def address(self) -> str:
        """See `Registry.address`. Asks AWS for the host unless it is configured or stored."""
        return self._oci.address

    @property
    def docker(self) -> PrivateDockerConfig:
        """The docker configuration for buildx, written by `login`."""
        return self._authenticator.home

    @property
    def setup(self) -> EcrSetup:
        """Reads and changes repositories and account settings by AWS' API."""
        return EcrSetup(self._clients, account=self._settings.account)

    @property
    def inventory(self) -> EcrInventory:
        """The inventory of the repositories."""
        return EcrInventory(self._clients, account=self._settings.account, prefix=self._settings.prefix)

    @property
    def account(self) -> str:
        """The account number: the configured one, else the caller's own (STS)."""
        if self._settings.account:
            return self._settings.account
        with aws_errors():
            client = self._clients("sts")
            return client.get_caller_identity()["Account"]

    def login(self, *, fresh: bool = False) -> Login:
        """Log in and write `docker` for buildx. Raises RegistryError."""
        return self._authenticator.login(fresh=fresh)

    def check(self) -> None:
        """Check that the registry answers and accepts the credentials. Raises RegistryError."""
        self._oci.check()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def manifest(self, ref: Reference) -> Manifest | None:
        """See `Registry.manifest`."""
        return self._oci.manifest(ref)

    def digest(self, ref: Reference) -> str | None:
        """See `Registry.digest`."""
        return self._oci.digest(ref)

    def manifests(self, refs: Iterable[Reference]) -> Mapping[Reference, Manifest | None]:
        """See `Registry.manifests`."""
        return self._oci.manifests(refs)

    def lost(self, blobs: Mapping[Reference, Iterable[Descriptor]]) -> Mapping[Reference, tuple[str, ...]]:
        """See `Registry.lost`."""
        return self._oci.lost(blobs)

    def blob(self, ref: Reference, blob: Descriptor, sink: IO[bytes]) -> None:
        """See `Registry.blob`."""
        self._oci.blob(ref, blob, sink)

    def tail(self, ref: Reference, blob: Descriptor, count: int) -> bytes:
        """See `Registry.tail`."""
        return self._oci.tail(ref, blob, count)

    def retag(self, source: Reference, target: Reference) -> None:
        """See `Registry.retag`. Blobs are mounted if blob mounting is on in the account, else copied."""
        self._oci.retag(source, target)

    def write(self, ref: Reference, manifest: Manifest, *blobs: bytes) -> None:
        """See `Registry.write`."""
        self._oci.write(ref, manifest, *blobs)

    def upload(self, ref: Reference, digest: str, body: IO[bytes]) -> None:
        """See `Registry.upload`."""
        self._oci.upload(ref, digest, body)

    def share(self, source: Reference, target: Reference, blobs: Iterable[Descriptor]) -> None:
        """See `Registry.share`. Blobs are mounted if blob mounting is on in the account, else copied."""
        self._oci.share(source, target, blobs)

    def delete(self, ref: Reference) -> None:
        """See `Registry.delete`."""
        self._oci.delete(ref)

    def missing_repositories(self, names: Iterable[str]) -> tuple[str, ...]:
        """See `Registry.missing_repositories`. One call per hundred names unless one is missing."""
        wanted = tuple(dict.fromkeys(names))
        with aws_errors():
            client = self._clients("ecr")
        missing: list[str] = []
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            if self._exist(client, batch):
                continue
            if len(batch) == 1:  # a call fails as a whole and names only one: ask for each
                missing.extend(batch)
                continue
            existing = gather(lambda name: self._exist(client, (name,)), batch, threads=CONNECTIONS)
            missing.extend(name for name, exists in zip(batch, existing, strict=True) if not exists)
        return tuple(missing)

    def create_repository(self, name: str) -> None:
        """See `Registry.create_repository`. The tags' mutability is that of the settings."""
        full = self._full(name)
        options = mutability_parameters(self._settings.mutability, self._settings.exclusions)
        owner = registry_owner(self._settings.account)
        with aws_errors(full):
            client = self._clients("ecr")
            try:
                client.create_repository(repositoryName=full, **options, **owner)
            except client.exceptions.RepositoryAlreadyExistsException:
                return

    def _exist(self, client: ECRClient, names: tuple[str, ...]) -> bool:
        full = [self._full(name) for name in names]
        owner = registry_owner(self._settings.account)
        with aws_errors(full[0] if len(full) == 1 else None):
            try:
                client.describe_repositories(repositoryNames=full, maxResults=_BATCH, **owner)
            except client.exceptions.RepositoryNotFoundException:
                return False
        return True

    def _full(self, name: str) -> str:
        return self.inventory.full(name)

    @property
    def _oci(self) -> OciRegistry:
        with self._lock:
            if self._opened is None:
                host = self._settings.host or self._authenticator.login().host
                session = RegistrySession(
                    host,
                    transport=self._transport,
                    credential=self._authenticator.credential,
                    advice=Advice(login="invoke login", create=create_command("{repository}")),
                )
                self._opened = OciRegistry(f"{host}/{self._settings.prefix}", session)
            return self._opened


def ecr_registry(
    runner: Runner,
    settings: EcrSettings,
    *,
    environ: Mapping[str, str] | None = None,
    clients: Clients | None = None,
    transport: Transport | None = None,
    clock: Callable[[], datetime] | None = None,
    learn: Callable[..., None] = lambda *_: None,
) -> EcrRegistry:
    """Return the account's registry. Neither AWS nor boto3 is used before it is needed.

    learn: receives the secrets to mask as they become known.
    """
    environ = os.environ if environ is None else environ
    clients = clients or boto_clients(Access(region=settings.region, profile=settings.profile))
    home = PrivateDockerConfig.under(
        cache_home(environ), identity_of(settings, environ), DockerConfig.load(environ)
    )
    now = clock or (lambda: datetime.now(UTC))
    authenticator = EcrAuthenticator(runner, settings, clients=clients, home=home, clock=now, learn=learn)
    return EcrRegistry(settings, authenticator, clients=clients, transport=transport or HttpTransport())


def identity_of(settings: EcrSettings, environ: Mapping[str, str]) -> str:
    """Return a short name for these credentials at this registry, so that identities never share a token."""
    parts = [str(part) for part in (settings.account, settings.region, settings.profile, settings.host)]
    parts += [environ.get(name, "") for name in _IDENTITY]
    home = Path(environ.get("HOME") or Path.home()) / ".aws"
    for variable, name in (("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")):
        path = Path(environ.get(variable) or home / name)
        try:
            parts.append(f"{path} {path.stat().st_mtime_ns}")  # an edited profile is another identity
        except OSError:
            parts.append(str(path))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
