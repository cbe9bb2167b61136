"""HTTP requests by `requests` over shared connections.

`requests` is imported with the first request, so that a plan without a registry does not pay for it.
"""

from __future__ import annotations

import threading
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lamina.errors import LaminaError
from lamina.registries.http import (
    CONNECT_SECONDS,
    LARGEST_ANSWER,
    READ_SECONDS,
    STALL_SECONDS,
    HttpResponse,
    Request,
    Unreachable,
)

if TYPE_CHECKING:
    from requests import Response, Session

_CHUNK = 1 << 20
_CERTS_D = Path("/etc/docker/certs.d")


class HttpTransport:
    """A `requests` session. Proxies and CA bundles are those of the process' environment. Thread-safe.

    Args:
        certs: docker's folders of further certificates, ``<host[:port]>/*.crt``.
        stall: seconds without progress after which a request fails; 0: no limit except for small responses.
            So every request ends: a small one within `READ_SECONDS`, another one within one ``stall`` more
            than its bytes take at the slowest pace.
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
        except (OSError, HTTPError) as error:  # all exceptions of `requests` are OSErrors
            raise unreachable(error, seconds=seconds) from error

    def _open(self) -> Session:
        with self._lock:
            if self._session is None:
                from lamina.registries.wire import open_session

                self._session = open_session(self._certs)
            return self._session


def _read(response: Response, sink: IO[bytes] | None, most: int) -> HttpResponse:
    """Read the response. Raises Unreachable when its body is larger than ``most`` bytes."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    kept = sink if sink is not None and 200 <= response.status_code < 300 else BytesIO()
    kept.seek(0)
    kept.truncate()
    count = 0
    for chunk in response.iter_content(_CHUNK):
        count += len(chunk)
        if count > most:
            raise Unreachable("endless", f"it sends more than the expected {most} bytes")
        try:
            kept.write(chunk)
        except OSError as error:  # a full disk: not the registry's fault, and not worth a retry
            raise LaminaError.of_system(error, hint="make room and run again") from error
    body = kept.getvalue() if isinstance(kept, BytesIO) and kept is not sink else b""
    return HttpResponse(status=response.status_code, headers=headers, body=body)
