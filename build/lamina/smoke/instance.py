"""An instance that waits for its first event, and gets edited files before."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lamina.errors import EngineError
from lamina.execute.engine import Engine
from lamina.registries.local import engine_errors
from lamina.smoke.answer import Invocation
from lamina.smoke.container import Conditions, ContainerState, SmokeEngine, Trial, container_name
from lamina.smoke.edits import read_only_folders

_KERNEL_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
"""What an engine makes read-only by default, which a list of other paths replaces."""


class Instance(SmokeEngine):
    """An instance with its own connection to the engine. A context manager, which leaves the container.

    The emulator starts the function with its first event, so files that the container gets before are those
    of its init. Its root file system is not read-only for the engine; for the function its folders are.
    """

    def __init__(self, engine: Engine, conditions: Conditions) -> None:
        super().__init__(engine, conditions)
        self.name = container_name()
        self._call = ""
        self._socket: Any = None  # a file of a socket, or the socket, by the kind of connection

    def start(self, trial: Trial, emulator: Path) -> bool:
        """Start the container; return whether it can be used. Raises EngineError."""
        limits, folders = self._limits(read_only=False), read_only_folders(trial.start.folder)
        limits["ReadonlyPaths"] = [*_KERNEL_PATHS, *(f"/{each}" for each in folders)]
        limits["AutoRemove"] = True  # it ends by itself if this process is killed, see `invoke`
        with engine_errors(f"run {trial.ref}", self._engine.host):
            self._create(self.name, trial, limits)
            self._start(self.name, emulator, b"")
            found = self._api.inspect_container(self.name)
            self._call = self._api.exec_create(self.name, self._sender("-"), stdin=True)["Id"]
            self._socket = self._api.exec_start(self._call, socket=True)
        return found["HostConfig"].get("ReadonlyPaths") == limits["ReadonlyPaths"] and not trial.start.volumes

    def answer(self, trial: Trial, layers: Iterable[bytes]) -> Invocation | None:
        """Put files into the container and send the event; None if it has ended. Raises EngineError.

        layers: tars, lowest first.
        """
        name, what = self.name, f"run {trial.ref}"
        try:
            with engine_errors(what, self._engine.host):
                if not self._api.inspect_container(name)["State"]["Running"]:
                    return None
                for layer in layers:
                    self._api.put_archive(name, "/", layer)
                response = self._response(self._call, *self._send(trial.event))
                found = self._judge(response, {}, self._log(name))
                return found if found.failure is None else self._judge(response, *self._last_words())
        except OSError as error:  # of the sender's socket
            raise EngineError.of(f"the engine cannot {what}: {error}", where=self._engine.host) from error

    def _last_words(self) -> tuple[ContainerState, bytes]:
        """End the container; return its state before and its whole log, which is gone afterwards."""
        state: ContainerState = self._api.inspect_container(self.name)["State"]
        log = self._api.logs(self.name, stdout=True, stderr=True, stream=True, follow=True)
        self._api.kill(self.name)
        return state, b"".join(log)

    def discard(self) -> None:
        """Remove the container, by another connection: this one may be waiting. Raises EngineError."""
        with SmokeEngine(self._engine, self._conditions) as engine:
            engine.remove(self.name)

    def _send(self, event: bytes) -> tuple[bytes | None, bytes | None]:
        """Give the event to the waiting sender; return its standard output and error."""
        from docker.utils.socket import consume_socket_output, demux_adaptor, frames_iter

        getattr(self._socket, "_sock", self._socket).sendall(b"%d\n" % len(event) + event)
        frames = (demux_adaptor(*frame) for frame in frames_iter(self._socket, tty=False))
        output, text = consume_socket_output(frames, demux=True)
        return output, text
