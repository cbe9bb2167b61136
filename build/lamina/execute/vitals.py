"""What the kernel tells of an engine on this machine."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

_UNIX = "unix://"
_PIDFILE = Path("/var/run/docker.pid")
_CONNECT_SECONDS = 5.0


def bytes_written(host: str) -> int | None:
    """What an engine has written so far, to registries above all; None where that cannot be seen.

    host: as DOCKER_HOST. It can be seen on Linux, of an engine on this machine, by root and the engine's own
    user.
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
    """The engine behind a socket, where the kernel names one; systemd may have opened it for the engine."""
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
