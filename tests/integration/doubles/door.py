"""A TCP port that leads to a unix socket, as an engine's host on another machine has one."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

# Runs by itself, inside a network namespace: the folders of the machine are seen from there all the same.
_PROGRAM = """
import socket, sys, threading
def pump(source, sink):
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
    except OSError:
        pass
    finally:
        try:
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    client, _ = listener.accept()
    engine = socket.socket(socket.AF_UNIX)
    engine.connect(sys.argv[3])
    for pair in ((client, engine), (engine, client)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""


@contextmanager
def opened(namespace: str, address: str, port: int, path: str) -> Iterator[str]:
    """``host:port`` of a door to the unix socket at ``path``, inside a network namespace."""
    enter = ["nsenter", f"--net=/var/run/netns/{namespace}"]
    door = subprocess.Popen([*enter, sys.executable, "-c", _PROGRAM, address, str(port), path])
    try:
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection((address, port), timeout=1).close()
                break
            except OSError:
                assert door.poll() is None, "the door did not open"
                assert time.monotonic() < end, "nobody comes through the door"
                time.sleep(0.1)
        yield f"{address}:{port}"
    finally:
        door.kill()
        door.wait()
