"""HTTP to a registry: requests and answers as values, sent over connections that are kept and shared.

Standard library only, because importing is what a plan spends most of its time on: `requests` alone costs as
much as reading a hundred manifests.
"""

from __future__ import annotations

import http.client
import os
import ssl
import threading
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Literal, Protocol
from urllib.parse import urljoin, urlsplit

_CONNECT_SECONDS = 10.0
_READ_SECONDS = 30.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_CHUNK = 1 << 20
_CERTS_D = Path("/etc/docker/certs.d")

Origin = tuple[str, str, int]


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

    def __init__(self, kind: Literal["name", "refused", "timeout", "tls", "lost"], reason: str) -> None:
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
    """Keep-alive connections shared by all threads, the system's trust store, and the proxy variables.

    environ: read for SSL_CERT_FILE and its like, HTTPS_PROXY, NO_PROXY; the process' own by default.
    """

    def __init__(self, environ: Mapping[str, str] | None = None, *, certs: Path = _CERTS_D) -> None:
        self._environ = os.environ if environ is None else environ
        self._certs = certs
        self._lock = threading.Lock()
        self._idle: dict[Origin, list[http.client.HTTPConnection]] = {}
        self._contexts: dict[str, ssl.SSLContext] = {}
        weakref.finalize(self, _close_all, self._idle)

    def close(self) -> None:
        """Close the idle connections; the transport stays usable."""
        with self._lock:
            _close_all(self._idle)

    def send(self, request: Request, *, sink: IO[bytes] | None = None) -> Answer:
        """See `Transport.send`."""
        for _ in range(_MAX_REDIRECTS):
            answer = self._exchange(request, sink)
            if answer.status not in _REDIRECTS or "location" not in answer.headers:
                return answer
            if request.method not in {"GET", "HEAD"} and answer.status not in {307, 308}:
                return answer
            request = _redirected(request, answer.headers["location"])
        raise Unreachable("lost", f"more than {_MAX_REDIRECTS} redirects")

    def _exchange(self, request: Request, sink: IO[bytes] | None) -> Answer:
        origin = origin_of(request.url)
        connection, reused = self._borrow(origin)
        try:
            answer = self._converse(connection, request, sink)
        except Unreachable as error:
            connection.close()
            if not (reused and error.kind == "lost"):
                raise
            # A kept connection may have been closed by the other side since: that is no failure.
            connection = self._dial(origin)
            try:
                answer = self._converse(connection, request, sink)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            connection.close()
            raise
        if connection.sock is not None:  # http.client closed it if the server wished so
            with self._lock:
                self._idle.setdefault(origin, []).append(connection)
        return answer

    def _converse(
        self, connection: http.client.HTTPConnection, request: Request, sink: IO[bytes] | None
    ) -> Answer:
        if connection.sock is None:
            _connect(connection)
        body = request.body
        headers = {"User-Agent": "lamina", **request.headers}
        if body is not None and not isinstance(body, bytes):
            headers["Content-Length"] = str(body.seek(0, os.SEEK_END))
            body.seek(0)
        parts = urlsplit(request.url)
        target = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
        if getattr(connection, "proxied", False):
            target = parts._replace(fragment="").geturl()
            headers |= connection.proxy_headers  # type: ignore[attr-defined]
        try:
            connection.request(request.method, target, body=body, headers=headers)
            response = connection.getresponse()
            told = {name.lower(): value for name, value in response.getheaders()}
            if sink is None or not 200 <= response.status < 300:
                return Answer(status=response.status, headers=told, body=response.read())
            sink.seek(0)
            sink.truncate()
            while chunk := response.read(_CHUNK):
                sink.write(chunk)
            return Answer(status=response.status, headers=told)
        except (http.client.HTTPException, OSError) as error:
            raise _unreachable(error, connected=True) from error

    def _borrow(self, origin: Origin) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            if idle := self._idle.get(origin):
                return idle.pop(), True
        return self._dial(origin), False

    def _dial(self, origin: Origin) -> http.client.HTTPConnection:
        scheme, host, port = origin
        proxy = proxy_for(self._environ, scheme, host)
        if proxy is None:
            if scheme == "https":
                context = self._context(host, port)
                return http.client.HTTPSConnection(host, port, timeout=_CONNECT_SECONDS, context=context)
            return http.client.HTTPConnection(host, port, timeout=_CONNECT_SECONDS)
        via = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        at = (via.hostname or "", via.port or 80)
        greeting = _proxy_authorization(via.username, via.password)
        if scheme == "https":
            context = self._context(host, port)
            tunnel = http.client.HTTPSConnection(*at, timeout=_CONNECT_SECONDS, context=context)
            tunnel.set_tunnel(host, port, greeting)
            return tunnel
        return _ProxiedConnection(*at, greeting)

    def _context(self, host: str, port: int) -> ssl.SSLContext:
        """Trust for one host: REQUESTS_CA_BUNDLE or the system's (SSL_CERT_FILE), plus docker's certs.d."""
        key = f"{host}:{port}"
        with self._lock:
            if key not in self._contexts:
                self._contexts[key] = trust(self._environ, self._certs / key, self._certs / host)
            return self._contexts[key]


class _ProxiedConnection(http.client.HTTPConnection):
    """Plain http through a proxy: the request line names the whole URL."""

    proxied = True

    def __init__(self, host: str, port: int, greeting: Mapping[str, str]) -> None:
        super().__init__(host, port, timeout=_CONNECT_SECONDS)
        self.proxy_headers = greeting


def origin_of(url: str) -> Origin:
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def trust(environ: Mapping[str, str], *folders: Path) -> ssl.SSLContext:
    """A client context: the CA bundle the environment names, else the system's, plus ``folders/*.crt``."""
    bundle = next(
        (
            environ[name]
            for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
            if environ.get(name)
        ),
        None,
    )
    try:
        if bundle and Path(bundle).is_dir():
            context = ssl.create_default_context(capath=bundle)
        else:
            context = ssl.create_default_context(cafile=bundle or _fallback_bundle())
        for certificate in sorted(found for folder in folders for found in folder.glob("*.crt")):
            context.load_verify_locations(certificate)
    except OSError as error:  # ssl.SSLError is one too
        named = f" (from the environment: {bundle})" if bundle else ""
        raise Unreachable("tls", f"the CA bundle cannot be read{named}: {error.strerror or error}") from error
    return context


def _fallback_bundle() -> str | None:
    """Certifi's bundle where the system has none, as in slim containers."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile or (paths.capath and any(Path(paths.capath).iterdir())):
        return None
    with suppress(ImportError):
        import certifi

        return certifi.where()
    return None


def proxy_for(environ: Mapping[str, str], scheme: str, host: str) -> str | None:
    """The proxy the environment names for this host, None to go straight; loopback never takes one."""
    if host == "localhost" or host == "::1" or host.startswith("127."):
        return None
    names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
    found = next((environ[name] for name in names if environ.get(name)), None)
    if found is None:
        return None
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

    exempt = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    return None if proxy_bypass_environment(host, {"no": exempt}) else found


def _proxy_authorization(username: str | None, password: str | None) -> dict[str, str]:
    if username is None:
        return {}
    from base64 import b64encode
    from urllib.parse import unquote

    pair = f"{unquote(username)}:{unquote(password or '')}".encode()
    return {"Proxy-Authorization": f"Basic {b64encode(pair).decode()}"}


def _connect(connection: http.client.HTTPConnection) -> None:
    try:
        connection.connect()
    except (http.client.HTTPException, OSError) as error:
        connection.close()
        raise _unreachable(error, connected=False) from error
    connection.sock.settimeout(_READ_SECONDS)


def _unreachable(error: Exception, *, connected: bool) -> Unreachable:
    import socket

    if isinstance(error, ssl.SSLError):
        # Certificate errors explain themselves in verify_message; the rest is OpenSSL's reason code.
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        return Unreachable("tls", str(reason).replace("_", " ").lower())
    if isinstance(error, socket.gaierror):
        return Unreachable("name", "no such host name")
    if isinstance(error, TimeoutError):
        waited = ("answer", _READ_SECONDS) if connected else ("connection", _CONNECT_SECONDS)
        return Unreachable("timeout", f"no {waited[0]} within {waited[1]:.0f} s")
    if isinstance(error, ConnectionRefusedError):
        return Unreachable("refused", "connection refused")
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    lost = connected or isinstance(error, ConnectionResetError | http.client.RemoteDisconnected)
    return Unreachable("lost" if lost else "refused", reason)


def _redirected(request: Request, location: str) -> Request:
    url = urljoin(request.url, location)
    before, after = origin_of(request.url), origin_of(url)
    if before[0] == "https" and after[0] != "https":
        raise Unreachable("tls", f"redirected from https to {after[0]}, which is not followed")
    if before == after:
        return replace(request, url=url)
    safe = {name: value for name, value in request.headers.items() if name.lower() != "authorization"}
    return replace(request, url=url, headers=safe)


def _close_all(idle: dict[Origin, list[http.client.HTTPConnection]]) -> None:
    for connections in idle.values():
        while connections:
            connections.pop().close()
