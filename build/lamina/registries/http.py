"""HTTP to a registry: requests, responses and what sends them, as values and a protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Literal, Protocol

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
"""In which a small answer has come to its end: a manifest, a list, a header."""
STALL_SECONDS = 120.0
LARGEST_ANSWER = 32 << 20
"""Bytes of an answer that is kept in memory; a registry takes manifests of 4 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request; a body that is a file is sent from its start."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold Authorization
    body: bytes | IO[bytes] | None = field(default=None, repr=False)

    @property
    def is_small(self) -> bool:
        """Whether nothing is sent that a registry needs time to take in."""
        return self.body is None and self.method in {"GET", "HEAD", "DELETE"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """What came back. headers: names in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


class Unreachable(Exception):  # noqa: N818 - a state of the network, translated before anyone sees it
    """No answer came. kind: at which step it failed; only `lost` (after connecting) is worth another try."""

    def __init__(
        self, kind: Literal["name", "refused", "timeout", "tls", "proxy", "lost", "endless"], reason: str
    ) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


class Transport(Protocol):
    """Sends requests. The real one is `transport.HttpTransport`; tests bring a scripted one."""

    def send(
        self, request: Request, *, sink: IO[bytes] | None = None, most: int | None = None
    ) -> HttpResponse:
        """Send, follow redirects, read the answer (a 2xx body into ``sink`` if given); raises Unreachable.

        most: bytes that the answer may have, None: as many as fit into memory.
        """
        ...

    def close(self) -> None:
        """Close what is open."""
        ...
