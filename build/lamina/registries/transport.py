"""HTTP to a registry: requests and answers as values, sent by `requests` over connections that are shared.

`requests` is imported when the first request is sent: a plan that asks no registry does not pay for it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from requests import Session

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
_CHUNK = 1 << 20
_CERTS_D = Path("/etc/docker/certs.d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request; a body that is a file is sent from its start."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold Authorization
    body: bytes | IO[bytes] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. headers: names in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


class Unreachable(Exception):  # noqa: N818 - a state of the network, translated before anyone sees it
    """No answer came. kind: at which step it failed; only `lost` (after connecting) is worth another try."""

    def __init__(
        self, kind: Literal["name", "refused", "timeout", "tls", "proxy", "lost"], reason: str
    ) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


class Transport(Protocol):
    """Sends requests. The real one is `HttpTransport`; tests bring a scripted one."""

    def send(self, request: Request, *, sink: IO[bytes] | None = None) -> Answer:
        """Send, follow redirects, read the answer (a 2xx body into ``sink`` if given); raises Unreachable."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


class HttpTransport:
    """A session of `requests`: proxies and CA bundles are those of the process' environment.

    certs: docker's folders of further authorities, ``<host[:port]>/*.crt``. Safe for threads.
    """

    def __init__(self, *, certs: Path = _CERTS_D) -> None:
        self._certs = certs
        self._lock = threading.Lock()
        self._session: Session | None = None

    def close(self) -> None:
        """Close the idle connections; the transport stays usable."""
        if self._session is not None:
            self._session.close()

    def send(self, request: Request, *, sink: IO[bytes] | None = None) -> Answer:
        """See `Transport.send`."""
        from urllib3.exceptions import HTTPError

        from lamina.registries.wire import unreachable

        body = request.body
        if body is not None and not isinstance(body, bytes):
            body.seek(0)
        try:
            with self._open().request(
                request.method,
                request.url,
                headers=request.headers,
                data=body,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                stream=True,
            ) as response:
                told = {name.lower(): value for name, value in response.headers.items()}
                if sink is None or not 200 <= response.status_code < 300:
                    return Answer(status=response.status_code, headers=told, body=response.content)
                sink.seek(0)
                sink.truncate()
                for chunk in response.iter_content(_CHUNK):
                    sink.write(chunk)
                return Answer(status=response.status_code, headers=told)
        except (OSError, HTTPError) as error:  # whatever `requests` raises is an OSError
            raise unreachable(error) from error

    def _open(self) -> Session:
        with self._lock:
            if self._session is None:
                from lamina.registries.wire import open_session

                self._session = open_session(self._certs)
            return self._session
