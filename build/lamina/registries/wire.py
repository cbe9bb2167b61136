"""`requests` with Lamina's trust, redirects and stall detection. `transport` imports it late: 0.1 s.

The read timeout of `requests` applies to each read, so that a slow drip could hold it forever. Connections
here apply the pace of the whole request.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectTimeout, ProxyError
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError

from lamina.registries.http import CONNECT_SECONDS, Unreachable
from lamina.registries.pace import SLOWEST, Pace

_CONNECTIONS = 16  # as many as there are threads reading manifests
_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


_PIECE = 64 << 10


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

    def recv_into(self, buffer: bytearray | memoryview) -> int:
        pace = self._ready()
        count = self._inner.recv_into(buffer)
        return self._moved(count, pace)

    def sendall(self, data: bytes | memoryview) -> None:
        view = memoryview(data).cast("B")
        while view:
            pace = self._ready()
            view = view[self._moved(self._inner.send(view[:_PIECE]), pace) :]

    def makefile(self, *args: Any, **more: Any) -> Any:
        """Return a file that reads through this object, as urllib3 does for its own socket wrappers."""
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

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Plain(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        self.sock = _PacedSocket(self.sock)


class _Secure(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        self.sock = _PacedSocket(self.sock)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


_POOLS = {"http": _PlainPool, "https": _SecurePool}


class _Adapter(HTTPAdapter):
    """Uses one TLS context for all connections; requests would read the CA bundle for each, in 25 ms."""

    def __init__(self, *further: Path) -> None:
        self._further = further
        super().__init__(pool_maxsize=_CONNECTIONS)

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return trust(*self._further)

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        """Pass on the TLS context instead of paths of bundles."""
        del verify
        host, pool = super().build_connection_pool_key_attributes(request, True, cert)
        return host, {**pool, "ssl_context": self._context}

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        """Use paced connections."""
        super().init_poolmanager(*args, **more)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **more: Any) -> Any:
        """Use paced connections behind a proxy as well."""
        manager = super().proxy_manager_for(*args, **more)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Add no CA bundle: the context has it."""


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return the URL to follow; None returns the redirect as the response."""
        target = super().get_redirect_target(resp)
        if target is None:
            return None
        if resp.request.method not in {"GET", "HEAD"} and resp.status_code not in {307, 308}:
            return None  # requests would follow with a GET, whose success is not that of the PUT
        if urlsplit(resp.url).scheme == "https" and urlsplit(target).scheme == "http":
            raise Unreachable("tls", "redirected from https to http, which is not followed")
        return target

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Drop Authorization on a redirect to another host, and add none from ~/.netrc."""
        before, after = urlsplit(response.request.url), urlsplit(prepared_request.url)
        if (before.scheme, before.netloc) != (after.scheme, after.netloc):
            prepared_request.headers.pop("Authorization", None)


def open_session(certs: Path) -> requests.Session:
    """Return a session with the environment's proxies and trust.

    ``certs/<host[:port]>/*.crt`` are trusted for that host only.
    """
    session = _Session()
    session.headers.update({"User-Agent": "lamina", "Accept-Encoding": "identity"})
    session.auth = lambda request: request  # else requests replaces Authorization by that of ~/.netrc
    session.proxies = {f"{scheme}://{host}": "" for scheme in ("http", "https") for host in _LOOPBACK}
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter())
    for folder in certs.glob("*/"):
        session.mount(f"https://{folder.name}/", _Adapter(*folder.glob("*.crt")))
    return session


def trust(*further: Path) -> ssl.SSLContext:
    """Return a context with the environment's CA bundle, else the system's, else certifi's.

    ``further`` certificates are added. Raises Unreachable when one cannot be read.
    """
    bundle = next((os.environ[name] for name in _BUNDLES if os.environ.get(name)), None)
    system = ssl.get_default_verify_paths()
    if not (bundle or system.cafile or (system.capath and any(Path(system.capath).iterdir()))):
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


def unreachable(error: BaseException, *, seconds: float) -> Unreachable:
    """Classify an exception of requests by its root cause. seconds: the time limit, for the message."""
    chain = [error]
    while inner := _inner(chain[-1]):
        chain.append(inner)
    root, kinds = chain[-1], tuple(type(each) for each in chain)
    reason = (getattr(root, "strerror", None) or str(root) or type(root).__name__).lower()
    if ProxyError in kinds:
        return Unreachable("proxy", f"its proxy fails: {reason}")
    if isinstance(root, ssl.SSLError):
        # Certificate errors have a verify_message, others OpenSSL's reason code.
        tls = getattr(root, "verify_message", "") or root.reason or str(root)
        return Unreachable("tls", tls.replace("_", " ").lower())
    if isinstance(root, socket.gaierror):
        return Unreachable("name", "no such host name")
    if isinstance(root, _StillError):
        return Unreachable("timeout", reason)
    if isinstance(root, TimeoutError):
        if ConnectTimeout in kinds:
            return Unreachable("timeout", f"no connection within {CONNECT_SECONDS:g} s")
        return Unreachable("timeout", f"no answer within {seconds:g} s")
    if isinstance(root, ValueError):  # requests.exceptions.InvalidURL
        return Unreachable("name", reason)
    return Unreachable("refused" if NewConnectionError in kinds else "lost", reason)


def _inner(error: BaseException) -> BaseException | None:
    """Return the exception that caused this one. ``__context__`` does not count: it may be the caller's."""
    held = (arg for arg in error.args if isinstance(arg, BaseException))
    return error.__cause__ or next(held, None)
