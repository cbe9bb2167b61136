"""HTTP values: requests, responses, errors, and the protocol that sends them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import IO, Literal, Protocol

from lamina.values import dataclass

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
"""The longest time for a small response: a manifest, a list, headers."""
STALL_SECONDS = 120.0
LARGEST_ANSWER = 32 << 20
"""Bytes. The largest response kept in memory; registries accept manifests of up to 4 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An HTTP request. A body that is a file is sent from its start."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold Authorization
    body: bytes | IO[bytes] | None = field(default=None, repr=False)

    @property
    def is_small(self) -> bool:
        """Whether the request has no body and is a GET, HEAD or DELETE."""
        return self.body is None and self.method in {"GET", "HEAD", "DELETE"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """An HTTP response. headers: names in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


class Unreachable(Exception):  # noqa: N818 - translated into a RegistryError
    """No complete response. kind: the step that failed; only `lost` (after connecting) is worth a retry."""

    def __init__(
        self, kind: Literal["name", "refused", "timeout", "tls", "proxy", "lost", "endless"], reason: str
    ) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


class Transport(Protocol):
    """Sends requests. `transport.HttpTransport` is the real one; tests use a scripted one."""

    def send(
        self, request: Request, *, sink: IO[bytes] | None = None, most: int | None = None
    ) -> HttpResponse:
        """Send a request, follow redirects and read the response. Raises Unreachable.

        Args:
            request: the request.
            sink: receives the body of a 2xx response.
            most: the largest body in bytes; None for `LARGEST_ANSWER`.
        """
        ...

    def close(self) -> None:
        """Close all connections."""
        ...
