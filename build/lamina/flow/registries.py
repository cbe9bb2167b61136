"""The registries of a project: its own, and those that serve its external images; and AWS' clients."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.declare.settings import LOCAL
from lamina.errors import RegistryError
from lamina.flow.checkout import Checkout
from lamina.masks import Mask
from lamina.process import Runner
from lamina.refs import EcrHost, Reference
from lamina.report.console import Screen

if TYPE_CHECKING:  # imported only when a registry is used
    from lamina.aws.changes import AwsCall
    from lamina.aws.clients import Access, AwsClients, Clients
    from lamina.registries.credentials import Credential
    from lamina.registries.ecr import EcrRegistry
    from lamina.registries.ecr_logins import EcrLogins
    from lamina.registries.http import Transport
    from lamina.registries.inventory import Inventory
    from lamina.registries.oci import OciRegistry
    from lamina.report.calls import CallLog

ECR = "ecr"


class AwsSeam:
    """AWS' clients of a command, which share their credentials, and the record of what they change.

    boto3 is imported when the first client is made.
    """

    def __init__(self, command: str = "aws") -> None:
        self._command = command
        self._run = ""
        self._lock = threading.Lock()
        self._clients: AwsClients | None = None
        self._log: CallLog | None = None

    def open(self, access: Access, record: Callable[[AwsCall], None]) -> Clients:
        """Return a function that makes each client of a region and a role once.

        record: receives the calls that change something, of all clients.
        """
        with self._lock:
            if self._clients is None:
                from lamina.aws.changes import watch
                from lamina.aws.clients import AwsClients

                self._clients = AwsClients(watch=partial(watch, record=record))
            return self._clients.open(access)

    def record(self, call: AwsCall, state: Path, screen: Screen) -> None:
        """Record a call in the folder of the run; without one, in a folder named after the command."""
        with self._lock:
            if not self._run:
                self.begin(builds=False)
            if self._log is None:
                from lamina.report.calls import CallLog

                self._log = CallLog(self._command, screen.mask, screen.notes)
            self._log.append(state, self._run, call)

    def begin(self, *, builds: bool) -> str:
        """Name a run, under which calls are recorded from now on. builds: whether it keeps more."""
        from lamina.report.runs import name_run

        run = name_run()
        self._run = run if builds else f"{run}-{self._command}"
        return run


class Registries:
    """Registries by reference, each connected to when first needed.

    Args:
        aws: makes AWS' clients.
        record: receives changes of images in ECR.
        transport: sends the requests; by default over the network.
    """

    def __init__(
        self,
        checkout: Checkout,
        runner: Runner,
        mask: Mask,
        *,
        aws: Callable[[Access], Clients],
        record: Callable[[AwsCall], None],
        transport: Transport | None = None,
    ) -> None:
        self._checkout = checkout
        self._runner = runner
        self._mask = mask
        self._aws = aws
        self._record = record
        self._given = transport
        self._open = contextlib.ExitStack()

    def close(self) -> None:
        """Close the connections."""
        self._open.close()

    @property
    def stall(self) -> int:
        """Seconds after which an exchange that does not move is stopped; 0: no limit."""
        return self._checkout.project.settings.stall

    @property
    def remote(self) -> bool:
        """Whether images live in a registry."""
        return self._checkout.project.settings.registry != LOCAL

    @property
    def on_ecr(self) -> bool:
        """Whether that registry is ECR."""
        return self._checkout.project.settings.registry.partition("/")[0] == ECR

    def require(self) -> None:
        """Raise RegistryError if no registry is configured."""
        if not self.remote:
            raise RegistryError.of(
                "no registry is configured: images live in the engine",
                where=self._checkout.project.settings.place("registry"),
                allowed="ecr, or host[:port][/prefix]",
                hint='add --registry, or registry = "ecr" to [tool.lamina]',
            )

    @cached_property
    def own(self) -> EcrRegistry | OciRegistry:
        """The configured registry. Raises RegistryError if none is configured."""
        self.require()
        return self.ecr or self._own_oci

    @cached_property
    def _own_oci(self) -> OciRegistry:
        return self._oci(self._checkout.project.settings.registry)

    @cached_property
    def ecr(self) -> EcrRegistry | None:
        """The configured registry if it is ECR, which needs a login and setup; else None."""
        if not self.on_ecr:
            return None
        from lamina.registries.ecr import ecr_registry
        from lamina.registries.ecr_changes import RecordingTransport
        from lamina.registries.ecr_token import EcrSettings

        project = self._checkout.project
        settings = EcrSettings(
            account=project.ecr.account,
            region=project.ecr.region,
            role=project.ecr.role,
            external_id=project.ecr.external_id,
            host=project.ecr.host,
            prefix=project.settings.registry.partition("/")[2],
            kms_key=project.ecr.kms_key,
            tags=project.ecr.tags,
        )
        registry = ecr_registry(
            self._runner,
            settings,
            clients=self._aws(settings.access),
            transport=RecordingTransport(self._transport(), self._record),
            learn=self._mask.learn,
        )
        self._open.callback(registry.close)
        return registry

    @property
    def inventory(self) -> Inventory:
        """What lists the repositories of the configured registry, which must be `remote`."""
        from lamina.registries.oci_inventory import OciInventory

        if self.ecr:
            return self.ecr.inventory
        return OciInventory(self._own_oci)

    @cached_property
    def ecr_logins(self) -> EcrLogins:
        """Logs in to ECR registries for which docker has no credentials."""
        from lamina.registries.ecr_logins import EcrLogins

        public = self._checkout.project.ecr.public_login
        return EcrLogins(self._runner, open_clients=self._aws, learn=self._mask.learn, public=public)

    def upstream(self, reference: Reference) -> EcrRegistry | OciRegistry:
        """Return the registry that serves an external image: the project's own, with its role, or another."""
        if self.on_ecr and self._checkout.project.ecr.role and EcrHost.of(reference):
            return self.of(reference)
        return self._oci(reference.pull_host)

    def of(self, reference: Reference) -> EcrRegistry | OciRegistry:
        """Return the registry of a full reference: the project's own, or any, with docker's credentials."""
        is_own = self.remote and self.own.address.partition("/")[0] == reference.pull_host
        return self.own if is_own else self._oci(reference.pull_host)

    def _oci(self, address: str) -> OciRegistry:
        from lamina.registries.connect import oci_registry

        def otherwise(host: str) -> Credential | None:
            return self.ecr_logins.credential(host)

        registry = oci_registry(
            self._runner,
            address,
            transport=self._transport(),
            learn=self._mask.learn,
            otherwise=otherwise,
        )
        self._open.callback(registry.close)
        return registry

    def _transport(self) -> Transport:
        from lamina.registries.transport import HttpTransport

        return self._given or HttpTransport(stall=self.stall)
