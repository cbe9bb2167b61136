"""Background servers, identified by process id *and* command line, so that no other process is signalled."""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypedDict

from lamina.errors import EngineError
from lamina.files import cache_home
from lamina.patterns import regex
from lamina.process import Command, Runner
from lamina.values import dataclass

# A unix socket's path has at most 107 characters; the path of a cache folder may be longer.
_RUNTIME = Path("/run/lamina")
_NAME = regex(r"[a-z0-9][a-z0-9._-]{0,62}")
_TAIL_LINES = 15
_ESCAPED = regex(r"\\([0-7]{3})")  # proc(5): escaped blanks and backslashes


class ServerState(TypedDict, total=False):
    """What is kept of a server: of an engine with its programs, of a registry with its settings."""

    pid: int
    netns: str
    docker: str
    buildx: str
    settings: dict[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFiles:
    """The paths of a server's files: those that must be short in /run, large ones in the cache.

    Attributes:
        kind: ``engine`` or ``registry``.
        identity: 8 hexadecimal digits from the cache's path, kind and name.
    """

    kind: str
    name: str
    identity: str

    @classmethod
    def of(cls, kind: str, name: str) -> ServerFiles:
        """Return the files of the server ``name``. Raises EngineError for an invalid name."""
        if not _NAME.fullmatch(name):
            raise EngineError.of(f"{name!r} is not a valid name for the {kind}", allowed=_NAME.pattern)
        key = f"{cache_home()}\0{kind}\0{name}"
        return cls(kind=kind, name=name, identity=hashlib.sha256(key.encode()).hexdigest()[:8])

    @property
    def runtime(self) -> Path:
        """The folder for the server's lifetime: socket, pidfile, configuration."""
        return _RUNTIME / self.identity

    @property
    def config(self) -> Path:
        """The server's configuration. Its path in the command line identifies the server."""
        return self.runtime / "daemon.json"

    @property
    def state(self) -> Path:
        """The state file of the running server."""
        return self.runtime / f"{self.kind}.json"

    @property
    def lock(self) -> Path:
        """The lock file held while the server is started or stopped."""
        return _RUNTIME / f"{self.identity}.lock"

    @property
    def data(self) -> Path:
        """The folder for data that outlives the server."""
        return cache_home() / {"engine": "engines", "registry": "registries"}[self.kind] / self.name

    @property
    def log(self) -> Path:
        """The server's log since its last start."""
        return self.data / f"{self.kind}.log"

    @property
    def marker(self) -> str:
        """The text by which the command line of this server is recognized."""
        return str(self.config)

    def read_state(self) -> ServerState | None:
        """Read `state`; None when there is none."""
        try:
            found: ServerState = json.loads(self.state.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found

    def make(self) -> None:
        """Create both folders."""
        self.runtime.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.data.mkdir(parents=True, exist_ok=True)


def is_alive(pid: int, marker: str) -> bool:
    """Whether process ``pid`` runs and its command line contains ``marker``.

    The marker is a path of this server: after a reboot another process may have the same id.
    """
    try:
        return marker in Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(
            errors="replace"
        )
    except OSError:
        return False


def read_pid(path: Path) -> int | None:
    """Return the number in a pidfile; None without a file or a number."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def stop(pid: int, marker: str, *, grace: float = 20.0) -> None:
    """Stop process ``pid`` if it has the marker: SIGTERM, up to ``grace`` seconds, then SIGKILL.

    The pidfd is opened before the command line is read, so the id cannot be reused in between.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not is_alive(pid, marker):
            return
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            if not _ended(handle, grace):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                _ended(handle, grace)
    finally:
        os.close(handle)
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def wait_until(ready: Callable[[], bool], pid: int, marker: str, *, seconds: float) -> str | None:
    """Wait until ``ready`` and return None; else stop the process and return what happened to it."""
    start = time.monotonic()
    while not ready():
        waited = time.monotonic() - start
        # The command line appears in /proc a moment after the fork.
        if waited > 1.0 and not is_alive(pid, marker):
            return "ended at once"
        if waited > seconds:
            stop(pid, marker)
            return f"does not answer after {seconds:.0f} s"
        time.sleep(0.02)
    return None


def strays(program: str, marker: str) -> Iterator[int]:
    """Yield processes whose program begins with ``program`` and whose command line contains ``marker``."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            name = words[0].rpartition(b"/")[2].decode(errors="replace")
            if name.startswith(program) and is_alive(int(entry.name), marker):
                yield int(entry.name)


def unmount(runner: Runner, folder: Path) -> None:
    """Unmount everything below ``folder``, innermost first, so that it can be removed safely."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    for line in reversed(lines):
        mount = _ESCAPED.sub(lambda each: chr(int(each[1], 8)), line.split(" ")[1])
        if Path(mount).is_relative_to(folder):
            runner.run(Command(argv=("umount", "--lazy", mount)))


def tail(log: Path) -> str:
    """Return the last lines of a log, indented, for an error message."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return "  (no log was written)"
    return "\n".join(f"  | {line[:400]}" for line in lines[-_TAIL_LINES:])


def _ended(handle: int, seconds: float) -> bool:
    waiter = select.poll()
    waiter.register(handle, select.POLLIN)
    return bool(waiter.poll(seconds * 1000))
