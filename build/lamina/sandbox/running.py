"""Find a private engine that runs. Imports little: most commands need no more of the sandbox."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from lamina.process import Runner
from lamina.provider import Say
from lamina.sandbox.daemon import ServerFiles, is_alive, read_pid
from lamina.values import dataclass

_WELL_AGAIN_SECONDS = 30.0
"""Seconds. dockerd restarts a containerd that died and needs 10 to 15 s to reconnect."""
_PAUSE_SECONDS = 0.2
_NO_PROCESS = 2**22 + 1  # above the largest process id of Linux
_NO_IMAGE = b"GET /images/lamina.invalid/none/json HTTP/1.0\r\nHost: docker\r\n\r\n"
"""A request that needs containerd, unlike /_ping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateEngine:
    """A running private engine.

    Attributes:
        host: a value for DOCKER_HOST.
        docker, buildx: the matching programs; buildx runs without docker.
        netns: the engine's network namespace, None for the machine's own network.
    """

    name: str
    host: str
    docker: Path
    buildx: Path
    pid: int
    netns: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Variables that make docker and buildx use this engine, regardless of the user's context."""
        return {"DOCKER_HOST": self.host}


def status(runner: Runner, name: str = "default") -> PrivateEngine | None:
    """Return the engine of this name if it answers a request for images. Starts no process."""
    del runner  # not needed: reads a file and a socket
    files = ServerFiles.of("engine", name)
    state = files.read_state()
    if state is None or not is_alive(state["pid"], files.marker) or not answers(socket_of(files)):
        return None
    docker, buildx = Path(state["docker"]), Path(state["buildx"])
    if not all(path.exists() for path in (docker, buildx, files.log)):
        return None  # the cache was emptied while the engine ran
    return PrivateEngine(
        name=name,
        host=f"unix://{socket_of(files)}",
        docker=docker,
        buildx=buildx,
        pid=state["pid"],
        netns=state["netns"],
    )


def recovered(runner: Runner, name: str, *, say: Say) -> PrivateEngine | None:
    """Return the engine of this name, waiting up to 30 s for a running daemon that does not answer.

    None when there is none or it does not recover. Starts and stops nothing.
    """
    found, files = status(runner, name), ServerFiles.of("engine", name)
    if found is not None or not daemon_is_alive(files):
        return found
    say(f"the private engine {name!r} runs but does not answer: waiting up to 30 s")
    end = time.monotonic() + _WELL_AGAIN_SECONDS
    while found is None and time.monotonic() < end and daemon_is_alive(files):
        time.sleep(_PAUSE_SECONDS)
        found = status(runner, name)
    return found


def daemon_is_alive(files: ServerFiles) -> bool:
    """Whether the daemon runs, perhaps without an answer."""
    return is_alive(pid_of(files), files.marker)


def pid_of(files: ServerFiles) -> int:
    """Return the process id in the daemon's pidfile, else one that no process has."""
    return read_pid(pidfile_of(files)) or _NO_PROCESS


def socket_of(files: ServerFiles) -> Path:
    """Return the path of the engine's socket."""
    return files.runtime / "docker.sock"


def pidfile_of(files: ServerFiles) -> Path:
    """Return the path of the daemon's pidfile."""
    return files.runtime / "docker.pid"


def answers(path: Path) -> bool:
    """Whether an engine on this socket answers a request for a missing image with 404."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(5.0)
        try:
            line.connect(str(path))
            line.sendall(_NO_IMAGE)
            return b" 404 " in line.recv(64)
        except OSError:
            return False
