"""The BuildKit of a Docker engine as a gRPC port on loopback, for buildx's ``remote`` driver.

The bench and the tests make several builders on one machine with it.

``python buildkit_port.py SOCKET`` prints its port. An engine serves BuildKit behind ``POST /grpc`` of its
socket, upgraded to HTTP/2; each connection is passed on to it.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

_UPGRADE = b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


@contextlib.contextmanager
def opened(path: str, before: Sequence[str] = ()) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Open a port for the engine at a socket: its address, and the process behind it, killed at the end.

    before: the words before the command, which may run it elsewhere.
    """
    argv = (*before, sys.executable, str(Path(__file__)), path)
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None  # noqa: S101 - stdout=PIPE above
        yield f"tcp://127.0.0.1:{int(child.stdout.readline())}", child
    finally:
        child.kill()
        child.communicate()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _serve(client: socket.socket, path: str) -> None:
    engine = socket.socket(socket.AF_UNIX)
    engine.connect(path)
    engine.sendall(_UPGRADE)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += engine.recv(1)
    threading.Thread(target=_pump, args=(client, engine), daemon=True).start()
    _pump(engine, client)


if __name__ == "__main__":
    server = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"{server.getsockname()[1]}\n")
    sys.stdout.flush()
    while True:
        connection, _ = server.accept()
        threading.Thread(target=_serve, args=(connection, sys.argv[1]), daemon=True).start()
