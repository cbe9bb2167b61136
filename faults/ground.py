"""The ground of a lane: a private engine, a registry behind a gate, and the oracle."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from faults import proxy
from faults.images import EngineStore, RegistryStore
from faults.project import Oracle
from lamina.process import SubprocessRunner
from lamina.sandbox import engine as sandbox_engine
from lamina.sandbox import registry as sandbox_registry
from lamina.sandbox import running as sandbox_running
from lamina.sandbox.daemon import ServerFiles, strays


@dataclass(slots=True)
class Ground:
    """The ground of one lane, isolated from all others. name: of its engine and its registry."""

    name: str
    folder: Path
    gate: proxy.Gate
    oracle: Oracle = field(default_factory=Oracle)
    runner: SubprocessRunner = field(default_factory=SubprocessRunner)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def images(self) -> RegistryStore:
        """The registry, read directly and not through the gate."""
        return RegistryStore(self.gate.behind)

    @property
    def storage(self) -> Path:
        """The registry's storage folder."""
        return ServerFiles.of("registry", self.name).data / "storage"

    @property
    def engine_images(self) -> EngineStore:
        """The engine's own store; starts the engine if it is down."""
        running = sandbox_engine.up(self.runner, name=self.name, say=_silent)
        return EngineStore(running.docker, running.host)

    def start_registry(self) -> None:
        """Start the registry unless it runs. Its images stay."""
        running = sandbox_registry.up(self.runner, name=self.name, port=0, say=_silent)
        self.gate.behind = running.address

    def kill_registry(self) -> None:
        """Kill the registry, as in a crash."""
        if running := sandbox_registry.status(self.runner, self.name):
            _kill(running.pid)

    def lose_blob(self, digest: str) -> None:
        """Remove the content of a blob from the registry's disk."""
        algorithm, _, name = digest.partition(":")
        (self.storage / f"docker/registry/v2/blobs/{algorithm}/{name[:2]}/{name}/data").unlink()

    def kill_engine(self, *, dockerd: bool, containerd: bool) -> None:
        """Kill one or both of the engine's daemons, as in a crash."""
        place = ServerFiles.of("engine", self.name)
        running = sandbox_running.status(self.runner, self.name)
        if dockerd and running:
            _kill(running.pid)
        if containerd:
            for pid in strays("containerd", str(place.runtime)):
                _kill(pid)


@contextmanager
def opened(name: str) -> Iterator[Ground]:
    """Start an engine and a registry with this name; at the end, remove both with their images."""
    folder = Path(tempfile.mkdtemp(prefix="lamina-faults-"))
    runner = SubprocessRunner()
    try:
        sandbox_engine.up(runner, name=name, say=_silent)
        address = sandbox_registry.up(runner, name=name, port=0, say=_silent).address
        with proxy.opened(address) as gate:
            yield Ground(name=name, folder=folder, gate=gate, runner=runner)
    finally:
        sandbox_registry.down(runner, name, purge=True)
        sandbox_engine.down(runner, name, purge=True)
        shutil.rmtree(folder, ignore_errors=True)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _silent(line: str) -> None:
    """The session prints its own lines."""
