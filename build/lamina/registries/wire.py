"""Connections to registries: trust, proxies, and sockets that give up when nothing moves.

`transport` imports this late. The timeout of a socket applies to each read, so that a slow drip could hold it
forever: connections here apply the pace of the whole request.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, InvalidURL
from pathlib import Path
from typing import cast
from urllib.parse import SplitResult, unquote, urlsplit

from lamina.registries.http import CONNECT_SECONDS, Unreachable
from lamina.registries.pace import SLOWEST, Pace

_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PIECE = 64 << 10
_PORTS = {"http": 80, "https": 443}


class _Current(threading.local):
    """The pace of the thread's current request."""

    pace: Pace | None = None


_current = _Current()


@contextmanager
def paced(seconds: float) -> Iterator[None]:
    """Apply a `Pace` to everything this thread sends and receives in the block."""
    _current.pace = Pace(seconds, time.monotonic())
    try:
        yield
    finally:
        _current.pace = None


class _StillError(TimeoutError):
    """Too few bytes moved."""


class _PacedSocket:
    """A socket whose calls wait no longer than the request's pace allows; otherwise the wrapped socket."""

    def __init__(self, inner: socket.socket) -> None:
        self._inner = inner
        self._io_refs = 0
        self._closed = False
        inner.settimeout(None)

    def recv_into(self, buffer: bytearray | memoryview) -> int:
        pace = self._ready()
        count = self._inner.recv_into(buffer)
        return self._moved(count, pace)

    def sendall(self, data: bytes | memoryview) -> None:
        view = memoryview(data).cast("B")
        while view:
            pace = self._ready()
            view = view[self._moved(self._inner.send(view[:_PIECE]), pace) :]

    def makefile(self, *args: object, **more: object) -> object:
        """Return a file that reads through this object."""
        return socket.socket.makefile(self, *args, **more)  # type: ignore[call-overload]

    def close(self) -> None:
        """Close the socket once no file of it is open."""
        self._closed = True
        self._close_unused()

    def _decref_socketios(self) -> None:
        self._io_refs -= 1
        if self._closed:
            self._close_unused()

    def _close_unused(self) -> None:
        if self._io_refs <= 0:
            self._inner.close()

    def _ready(self) -> Pace | None:
        pace = _current.pace
        if pace is not None and pace.seconds:
            left = pace.left(time.monotonic())
            if not left:
                raise _StillError(f"less than {SLOWEST} bytes a second moved for {pace.seconds:g} s")
            self._inner.settimeout(left)
        return pace

    def _moved(self, count: int, pace: Pace | None) -> int:
        if pace is not None:
            pace.moved(count, time.monotonic())
        return count

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


def connect(url: str, trusted: Callable[[str], ssl.SSLContext]) -> tuple[HTTPConnection, str]:
    """Open a connection for a URL, perhaps through a proxy.

    Args:
        url: of a request.
        trusted: returns the TLS context for ``host[:port]``.

    Returns:
        The connection, and what precedes the path in its requests: nothing, or the host behind a proxy.

    Raises:
        Unreachable: there is no connection.
    """
    to = urlsplit(url)
    host, port = _address(to)
    proxy = _proxy_of(url, host)
    sock: socket.socket | None = None
    try:
        sock = socket.create_connection(_address(proxy) if proxy else (host, port), CONNECT_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if proxy and proxy.scheme == "https":
            sock = trusted(proxy.netloc.rpartition("@")[2]).wrap_socket(sock, server_hostname=proxy.hostname)
        if proxy and to.scheme == "https":
            _open_tunnel(sock, host, port, proxy)
        if to.scheme == "https":
            sock = _secure(sock, trusted(to.netloc), host)
    except (OSError, HTTPException, ValueError) as error:
        if sock is not None:
            sock.close()
        raise _not_connected(error, through_proxy=proxy is not None) from error
    connection = (
        HTTPSConnection(host, port, context=trusted(to.netloc), blocksize=_PIECE)
        if to.scheme == "https"
        else HTTPConnection(host, port, blocksize=_PIECE)
    )
    connection.sock = _PacedSocket(sock)
    return connection, f"http://{to.netloc}" if proxy and to.scheme == "http" else ""


def is_dropped(connection: HTTPConnection) -> bool:
    """Whether the other side has closed an idle connection, or sent what was not asked for."""
    if connection.sock is None:
        return True
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


def proxy_headers(url: str) -> dict[str, str]:
    """Return the headers that a request over plain HTTP needs for its proxy."""
    proxy = _proxy_of(url, urlsplit(url).hostname or "")
    return _credentials_of(proxy) if proxy else {}


def _address(url: SplitResult) -> tuple[str, int]:
    return url.hostname or "", url.port or _PORTS[url.scheme]


def _secure(sock: socket.socket, context: ssl.SSLContext, host: str) -> socket.socket:
    if isinstance(sock, ssl.SSLSocket):  # the proxy's own: TLS within TLS
        from urllib3.util.ssltransport import SSLTransport

        return cast("socket.socket", SSLTransport(sock, context, host))  # it has the methods that are used
    return context.wrap_socket(sock, server_hostname=host)


def _open_tunnel(sock: socket.socket, host: str, port: int, proxy: SplitResult) -> None:
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    headers = {"Host": name, **_credentials_of(proxy)}
    lines = [f"CONNECT {name} HTTP/1.1", *(f"{key}: {value}" for key, value in headers.items()), "", ""]
    sock.sendall("\r\n".join(lines).encode("ascii"))
    answer = HTTPResponse(sock, method="CONNECT")
    answer.begin()
    if answer.status != 200:
        raise OSError(f"it answered {answer.status} {answer.reason}")


def _credentials_of(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def _proxy_of(url: str, host: str) -> SplitResult | None:
    """Return the proxy that the environment, or the system's settings, name for a URL; loopback has none."""
    if host in _LOOPBACK or (
        sys.platform == "linux" and not any(name.lower().endswith("_proxy") for name in os.environ)
    ):
        return None
    from requests.utils import get_environ_proxies, select_proxy

    found = select_proxy(url, get_environ_proxies(url))
    proxy = urlsplit(found if "://" in found else f"http://{found}") if found else None
    if proxy and proxy.scheme not in _PORTS:
        raise Unreachable("proxy", f"its proxy is {proxy.scheme}://{proxy.hostname}: use http:// or https://")
    return proxy


def trust(*further: Path) -> ssl.SSLContext:
    """Return a context with the environment's CA bundle, else the system's, else certifi's.

    ``further`` certificates are added. Raises Unreachable when one cannot be read.
    """
    bundle = next((os.environ[name] for name in _BUNDLES if os.environ.get(name)), None)
    system = ssl.get_default_verify_paths()
    if not (bundle or system.cafile or (system.capath and any(Path(system.capath).iterdir()))):
        from requests.utils import DEFAULT_CA_BUNDLE_PATH

        bundle = DEFAULT_CA_BUNDLE_PATH  # slim containers
    try:
        folder = bundle if bundle and Path(bundle).is_dir() else None
        context = ssl.create_default_context(cafile=None if folder else bundle, capath=folder)
        for certificate in further:
            context.load_verify_locations(certificate)
    except OSError as error:  # ssl.SSLError is one too
        raise Unreachable(
            "tls", f"the CA bundle cannot be read ({bundle or further}): {error.strerror or error}"
        ) from error
    return context


def _not_connected(error: Exception, *, through_proxy: bool) -> Unreachable:
    if isinstance(error, ssl.SSLError):
        return _of_tls(error)
    if through_proxy:
        return Unreachable("proxy", f"its proxy fails: {_reason(error)}")
    if isinstance(error, socket.gaierror):
        return Unreachable("name", "no such host name")
    if isinstance(error, TimeoutError):
        return Unreachable("timeout", f"no connection within {CONNECT_SECONDS:g} s")
    if isinstance(error, ValueError):
        return Unreachable("name", _reason(error))
    is_cut = isinstance(error, (ConnectionResetError, BrokenPipeError))
    return Unreachable("lost" if is_cut else "refused", _reason(error))


def interrupted(error: Exception, *, seconds: float) -> Unreachable:
    """Classify the end of an exchange. seconds: the time limit, for the message."""
    if isinstance(error, ssl.SSLError):
        return _of_tls(error)
    if isinstance(error, _StillError):
        return Unreachable("timeout", _reason(error))
    if isinstance(error, TimeoutError):
        return Unreachable("timeout", f"no answer within {seconds:g} s")
    if isinstance(error, InvalidURL) or not isinstance(error, (OSError, HTTPException)):
        return Unreachable("name", _reason(error))
    return Unreachable("lost", _reason(error))


def _of_tls(error: ssl.SSLError) -> Unreachable:
    # Certificate errors have a verify_message, others OpenSSL's reason code.
    text = getattr(error, "verify_message", "") or error.reason or str(error)
    return Unreachable("tls", text.replace("_", " ").lower())


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
