"""Connect to a registry with docker's credentials for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from lamina.process import Runner
from lamina.registries.credentials import Credential, DockerConfig, lookup
from lamina.registries.http import Transport
from lamina.registries.oci import OciRegistry
from lamina.registries.session import RegistrySession
from lamina.registries.transport import HttpTransport


def oci_registry(
    runner: Runner,
    address: str,
    *,
    environ: Mapping[str, str] | None = None,
    transport: Transport | None = None,
    learn: Callable[..., None] = lambda *_: None,
    otherwise: Callable[[str], Credential | None] = lambda _: None,
) -> OciRegistry:
    """Return the registry at ``host[:port][/prefix]``, with docker's credentials for the host.

    Args:
        runner: runs credential helpers.
        address: the registry.
        environ: variables that locate docker's configuration; proxies and CA bundles are the process' own.
        transport: sends the requests; by default over the network.
        learn: receives the secrets to mask as they become known.
        otherwise: returns the credential for a host when docker has none or its own was refused.
    """
    environ = os.environ if environ is None else environ
    host = address.partition("/")[0]

    def credential(*, fresh: bool) -> Credential | None:
        # A helper renews its credential; one stored by `docker login` may have expired.
        found = lookup(runner, host, config=DockerConfig.load(environ))
        if found is None or fresh:
            found = otherwise(host) or found
        learn(*(found.secrets if found else ()))
        return found

    session = RegistrySession(host, transport=transport or HttpTransport(), credential=credential)
    return OciRegistry(address, session)
