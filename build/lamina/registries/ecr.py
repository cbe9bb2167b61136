"""Amazon ECR: repositories by AWS' API, images by the OCI protocol.

Manifests are read by the OCI API, not by `batch_get_image`. That is one path for reading, retagging and
deleting, keeps the stored bytes and media type, and needs no boto3 while a stored token is valid.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

from lamina.aws.clients import CONNECTIONS, Clients, boto_clients
from lamina.aws.ecr_policies import registry_owner
from lamina.aws.ecr_settings import EcrSetup, creation_parameters
from lamina.aws.errors import aws_errors, create_command
from lamina.files import cache_home
from lamina.parallel import gather
from lamina.process import Runner
from lamina.refs import Reference
from lamina.registries.base import Descriptor, Manifest
from lamina.registries.credentials import DockerConfig
from lamina.registries.docker_home import PrivateDockerConfig
from lamina.registries.ecr_inventory import EcrInventory
from lamina.registries.ecr_token import EcrAuthenticator, EcrSettings, Login, identity_of
from lamina.registries.http import Transport
from lamina.registries.oci import OciRegistry
from lamina.registries.refusals import Advice
from lamina.registries.session import RegistrySession
from lamina.registries.transport import HttpTransport

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

_BATCH = 100  # names per DescribeRepositories call


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
        """See `Registry.create_repository`. Mutability, key and tags are those of the settings."""
        full, given = self._full(name), self._settings
        options = creation_parameters(given.mutability, given.exclusions, given.kms_key, dict(given.tags))
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
    clients = clients or boto_clients(settings.access)
    home = PrivateDockerConfig.under(
        cache_home(environ), identity_of(settings, environ), DockerConfig.load(environ)
    )
    now = clock or (lambda: datetime.now(UTC))
    authenticator = EcrAuthenticator(runner, settings, clients=clients, home=home, clock=now, learn=learn)
    return EcrRegistry(settings, authenticator, clients=clients, transport=transport or HttpTransport())
