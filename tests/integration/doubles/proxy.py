"""An HTTP proxy which leads every CONNECT to one address, whatever host was asked for."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .certificates import Certificates


@dataclass(slots=True)
class Proxy:
    """A running proxy. asked: host and port of each CONNECT, with the credentials sent to the proxy."""

    url: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@contextmanager
def leading_to(address: str, tls: Certificates | None = None) -> Iterator[Proxy]:
    """A proxy in front of ``host:port``, itself reached over TLS if there are certificates."""
    proxy = Proxy()

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            proxy.asked.append((self.path, self.headers.get("Proxy-Authorization")))
            host, _, port = address.rpartition(":")
            with socket.create_connection((host, int(port)), timeout=10) as upstream:
                self.send_response(200)
                self.end_headers()
                _pump(self.connection, upstream)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate, tls.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    proxy.url = f"{'https' if tls else 'http'}://me:pw@127.0.0.1:{server.server_address[1]}"
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()


def _pump(left: socket.socket, right: socket.socket) -> None:
    other = {left: right, right: left}
    while True:
        for source in select.select(list(other), [], [])[0]:
            data = source.recv(1 << 16)
            if not data:
                return
            other[source].sendall(data)
