"""HTTP requests over shared connections, by the standard library.

`requests` needs 0.1 s to be imported and a millisecond a request: more than a command that pushes a layer.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import quote, urljoin, urlsplit

from lamina.errors import LaminaError
from lamina.registries.http import (
    LARGEST_ANSWER,
    READ_SECONDS,
    STALL_SECONDS,
    HttpResponse,
    Request,
    Unreachable,
)

if TYPE_CHECKING:  # brings ssl and email along: commands that ask no registry do without
    import ssl
    from http.client import HTTPConnection
    from http.client import HTTPResponse as Received

_CHUNK = 1 << 20
_CERTS_D = Path("/etc/docker/certs.d")
_MOST_REDIRECTS = 30
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEPT_METHOD = frozenset({307, 308})
_SAFE = "!#$%&'()*+,/:;=?@[]~"
_HEADERS = {"User-Agent": "lamina", "Accept": "*/*", "Accept-Encoding": "identity"}


class HttpTransport:
    """Keeps connections open. Proxies and CA bundles are those of the environment. Thread-safe.

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
        self._idle: dict[tuple[str, str], list[tuple[HTTPConnection, str]]] = {}
        self._contexts: dict[tuple[Path, ...], ssl.SSLContext] = {}

    def close(self) -> None:
        """Close the idle connections; the transport stays usable."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection, _ in connections:
                connection.close()

    def send(
        self, request: Request, *, sink: IO[bytes] | None = None, most: int | None = None
    ) -> HttpResponse:
        """See `Transport.send`."""
        from http.client import HTTPException

        from lamina.registries.wire import interrupted, paced

        seconds = self._stall
        if request.is_small and sink is None:
            seconds = min(self._stall or READ_SECONDS, READ_SECONDS)
        try:
            with paced(seconds):
                return self._follow(request, sink, LARGEST_ANSWER if most is None else most)
        except (OSError, HTTPException, ValueError) as error:
            raise interrupted(error, seconds=seconds) from error

    def _follow(self, request: Request, sink: IO[bytes] | None, most: int) -> HttpResponse:
        for _ in range(_MOST_REDIRECTS):
            answer = self._exchange(request, sink, most)
            onward = _redirected(request, answer)
            if onward is None:
                return answer
            request = onward
        raise Unreachable("endless", "it redirects again and again")

    def _exchange(self, request: Request, sink: IO[bytes] | None, most: int) -> HttpResponse:
        connection, before = self._connection(request.url)
        try:
            with _ask(connection, before, request) as response:
                answer = _read(response, sink, most)
                is_open = not response.will_close
        except BaseException:
            connection.close()
            raise
        if is_open:
            parts = urlsplit(request.url)
            with self._lock:
                self._idle.setdefault((parts.scheme, parts.netloc), []).append((connection, before))
        else:
            connection.close()
        return answer

    def _connection(self, url: str) -> tuple[HTTPConnection, str]:
        from lamina.registries.wire import connect, is_dropped

        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Unreachable("name", f"{url} is not a URL of a registry")
        while True:
            with self._lock:
                idle = self._idle.get((parts.scheme, parts.netloc))
                found = idle.pop() if idle else None
            if found is None:
                return connect(url, self._trusted)
            if not is_dropped(found[0]):
                return found
            found[0].close()

    def _trusted(self, netloc: str) -> ssl.SSLContext:
        """Return the TLS context for a host; reading a CA bundle takes 25 ms, so it is read once."""
        from lamina.registries.wire import trust

        further = tuple(sorted((self._certs / netloc).glob("*.crt")))
        with self._lock:
            if further not in self._contexts:
                self._contexts[further] = trust(*further)
            return self._contexts[further]


def _ask(connection: HTTPConnection, before: str, request: Request) -> Received:
    """Send a request and return the response, of which only the headers are read."""
    headers = {**_HEADERS, **request.headers}
    body = request.body
    if body is not None and not isinstance(body, bytes):
        headers["Content-Length"] = str(body.seek(0, SEEK_END))
        body.seek(0)
    if before:
        from lamina.registries.wire import proxy_headers

        headers |= proxy_headers(request.url)
    parts = urlsplit(request.url)
    target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_SAFE)
    with suppress(BrokenPipeError, ConnectionResetError):  # it may answer before it has read the body
        connection.request(request.method, before + target, body=body, headers=headers)
    return connection.getresponse()


def _redirected(request: Request, answer: HttpResponse) -> Request | None:
    """Return the request to send instead; None if the answer stands.

    A write is redirected only with its method: a login page that answers a GET is not a success of a PUT.
    """
    target = answer.headers.get("location")
    if answer.status not in _REDIRECTS or not target:
        return None
    if request.method not in {"GET", "HEAD"} and answer.status not in _KEPT_METHOD:
        return None
    url = urljoin(request.url, target)
    before, after = urlsplit(request.url), urlsplit(url)
    if (before.scheme, after.scheme) == ("https", "http"):
        raise Unreachable("tls", "redirected from https to http, which is not followed")
    is_same = (before.scheme, before.netloc) == (after.scheme, after.netloc)
    kept = {name: each for name, each in request.headers.items() if is_same or name != "Authorization"}
    return replace(request, url=url, headers=kept)


def _read(response: Received, sink: IO[bytes] | None, most: int) -> HttpResponse:
    """Read the response. Raises Unreachable when its body is larger than ``most`` bytes, or cut off."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    kept: IO[bytes] = sink if sink is not None and 200 <= response.status < 300 else BytesIO()
    kept.seek(0)
    kept.truncate()
    count, announced = 0, response.length
    while chunk := response.read(min(_CHUNK, most + 1 - count)):
        count += len(chunk)
        if count > most:
            raise Unreachable("endless", f"it sends more than the expected {most} bytes")
        try:
            kept.write(chunk)
        except OSError as error:  # a full disk: not the registry's fault, and not worth a retry
            raise LaminaError.of_system(error, hint="make room and run again") from error
    if announced is not None and count < announced:
        raise Unreachable("lost", f"it sent {count} of {announced} bytes")
    body = kept.getvalue() if isinstance(kept, BytesIO) and kept is not sink else b""
    return HttpResponse(status=response.status, headers=headers, body=body)
