"""Read the I/O counters of an engine on this machine from the kernel."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

_UNIX = "unix://"
_PIDFILE = Path("/var/run/docker.pid")
_CONNECT_SECONDS = 5.0


def bytes_written(host: str) -> int | None:
    """Return the bytes that an engine has written so far, mostly to registries; None if unknown.

    host: as in DOCKER_HOST. Known only on Linux, for a local engine, to root and the engine's own user.
    """
    try:
        pid = _process(host.removeprefix(_UNIX)) if host.startswith(_UNIX) else None
        if pid is None:
            return None
        facts = Path(f"/proc/{pid}/io").read_text("ascii")
        return next(int(line.split()[1]) for line in facts.splitlines() if line.startswith("wchar:"))
    except (OSError, ValueError, StopIteration):
        return None


def _process(path: str) -> int | None:
    """Return the process id of the engine behind a socket, even if systemd opened the socket; else None."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(_CONNECT_SECONDS)
        line.connect(path)
        pid, _, _ = struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    if pid == 1 and _PIDFILE.exists():
        pid = int(_PIDFILE.read_text("ascii"))
    named = Path(f"/proc/{pid}/comm")
    return pid if named.exists() and named.read_text("utf-8").strip() == "dockerd" else None
