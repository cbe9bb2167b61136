"""HTTP to a registry: requests and answers as values, sent by `requests` over connections that are shared.

`requests` is imported when the first request is sent: a plan that asks no registry does not pay for it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, Protocol

from lamina.errors import LaminaError

if TYPE_CHECKING:
    from requests import Response, Session

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
"""In which a small answer has come to its end: a manifest, a list, a header."""
STALL_SECONDS = 120.0
LARGEST_ANSWER = 32 << 20
"""Bytes of an answer that is kept in memory; a registry takes manifests of 4 MiB."""
_CHUNK = 1 << 20
_CERTS_D = Path("/etc/docker/certs.d")


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
    """Sends requests. The real one is `HttpTransport`; tests bring a scripted one."""

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


class HttpTransport:
    """A session of `requests`: proxies and CA bundles are those of the process' environment.

    certs: docker's folders of further authorities, ``<host[:port]>/*.crt``. Safe for threads.
    stall: seconds in which something must move; 0: no limit but that of small answers. So every request ends:
    a small one within `READ_SECONDS`, any other within one ``stall`` more than its bytes take at the slowest.
    """

    def __init__(self, *, certs: Path = _CERTS_D, stall: float = STALL_SECONDS) -> None:
        self._certs = certs
        self._stall = stall
        self._lock = threading.Lock()
        self._session: Session | None = None

    def close(self) -> None:
        """Close the idle connections; the transport stays usable."""
        if self._session is not None:
            self._session.close()

    def send(
        self, request: Request, *, sink: IO[bytes] | None = None, most: int | None = None
    ) -> HttpResponse:
        """See `Transport.send`."""
        from urllib3.exceptions import HTTPError

        from lamina.registries.wire import paced, unreachable

        body = request.body
        if body is not None and not isinstance(body, bytes):
            body.seek(0)
        seconds = self._stall
        if request.is_small and sink is None:
            seconds = min(self._stall or READ_SECONDS, READ_SECONDS)
        try:
            with (
                paced(seconds),
                self._open().request(
                    request.method,
                    request.url,
                    headers=request.headers,
                    data=body,
                    timeout=(CONNECT_SECONDS, seconds or None),
                    stream=True,
                ) as response,
            ):
                return _read(response, sink, LARGEST_ANSWER if most is None else most)
        except (OSError, HTTPError) as error:  # whatever `requests` raises is an OSError
            raise unreachable(error, seconds=seconds) from error

    def _open(self) -> Session:
        with self._lock:
            if self._session is None:
                from lamina.registries.wire import open_session

                self._session = open_session(self._certs)
            return self._session


def _read(response: Response, sink: IO[bytes] | None, most: int) -> HttpResponse:
    """The answer; raises Unreachable when it has more bytes than it may."""
    told = {name.lower(): value for name, value in response.headers.items()}
    kept = sink if sink is not None and 200 <= response.status_code < 300 else BytesIO()
    kept.seek(0)
    kept.truncate()
    count = 0
    for chunk in response.iter_content(_CHUNK):
        count += len(chunk)
        if count > most:
            raise Unreachable("endless", f"it sends more than the {most} bytes that were to come")
        try:
            kept.write(chunk)
        except OSError as error:  # a full disk: no fault of the registry's, and no better the next time
            raise LaminaError.of_system(error, hint="make room and run again") from error
    body = kept.getvalue() if isinstance(kept, BytesIO) and kept is not sink else b""
    return HttpResponse(status=response.status_code, headers=told, body=body)
