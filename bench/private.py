"""Private ground: an engine and a registry of its own, in a network namespace whose bytes are counted."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import buildkit_port
from bench.ground import RUNTIME, read_versions
from bench.tree import PYTHON
from lamina.errors import EngineError
from lamina.process import Command, Completed, Runner
from lamina.sandbox import engine as engines
from lamina.sandbox import namespace, registry, runtime
from lamina.sandbox.archive import ImageConfig, write_archive
from lamina.sandbox.namespace import Traffic
from lamina.sandbox.network import inside
from lamina.sandbox.packages import machine_architecture
from lamina.sandbox.registry import LocalRegistry
from lamina.sandbox.running import PrivateEngine

NAME = "bench"
"""The name of the engine, the registry and the namespace."""
_PORT = 5000
_FARM = "farm"
"""The name of the builder of several nodes."""


class PrivateGround:
    """A private engine, a registry and, if the machine allows it, a network namespace around both.

    Commands run inside the namespace, so that their own requests to the registry are counted too.

    Args:
        folder: for a docker configuration of its own.
    """

    stored = "type=image"

    def __init__(self, runner: Runner, folder: Path, say: Callable[[str], None]) -> None:
        self._runner = runner
        self._say = say
        self._docker = folder / "docker"
        self._opened = False
        self._netns: str | None = None
        self._engine: PrivateEngine | None = None
        self._registry: LocalRegistry | None = None
        self.uncounted: str | None = None
        self.no_arm64: str | None = None
        self.versions: Mapping[str, str] = {}

    def open(self) -> None:
        """See `Ground.open`."""
        self._opened = True
        self._docker.mkdir(exist_ok=True)
        self._clear()
        try:
            self._netns = namespace.up(self._runner, NAME, self._say)
        except EngineError as error:
            self.uncounted = error.problems[0].what
        self._registry = registry.up(
            self._runner, name=NAME, port=_PORT if self._netns else 0, netns=self._netns, say=self._say
        )
        self._start()
        self.versions = self._versions()
        self._publish_runtime()

    def close(self) -> None:
        """See `Ground.close`."""
        if self._opened:
            self._clear()

    def empty(self) -> None:
        """See `Ground.empty`: removes the engine with its data, and starts it again."""
        engines.down(self._runner, NAME, purge=True)
        self._start()

    @contextmanager
    def nodes(self, count: int) -> Iterator[str]:
        """See `Ground.nodes`: each is the BuildKit of an engine of its own, in the same namespace."""
        create = (*self.buildx, "create", "--name", _FARM, "--driver", "remote")
        with ExitStack() as ends:
            ends.callback(self._runner.run, self.command(*self.buildx, "rm", _FARM, cwd=Path("/")))
            for number in range(count):
                own = f"{NAME}-{number}"
                ends.callback(engines.down, self._runner, own, purge=True)
                engine = engines.up(self._runner, name=own, netns=self._netns, say=self._say)
                socket = engine.host.removeprefix("unix://")
                address, _ = ends.enter_context(buildkit_port.opened(socket, inside(self._netns)))
                self._must(*create, *(["--append"] if number else []), address)
            self._must(*self.buildx, "inspect", "--bootstrap", _FARM)
            yield _FARM

    def traffic(self) -> Traffic | None:
        """See `Ground.traffic`."""
        return namespace.traffic(self._registry.pid) if self._registry and self._netns else None

    @property
    def buildx(self) -> tuple[str, ...]:
        """See `Ground.buildx`."""
        return (str(self._running.buildx),)

    @property
    def docker(self) -> str:
        """See `Ground.docker`."""
        return str(self._running.docker)

    @property
    def registry(self) -> str:
        """See `Ground.registry`."""
        assert self._registry is not None  # noqa: S101 - opened before anything is built
        return self._registry.address

    @property
    def runtime(self) -> str:
        """See `Ground.runtime`."""
        return f"{self.registry}/{RUNTIME}"

    def command(self, *argv: str, cwd: Path, env: Mapping[str, str] | None = None) -> Command:
        """See `Ground.command`: runs in the namespace, with a docker configuration of its own."""
        return Command(
            argv=inside(self._netns, *argv),
            env={
                **self._running.environment,
                "LAMINA_ENGINE": NAME,
                "DOCKER_CONFIG": str(self._docker),
                "BUILDX_METADATA_PROVENANCE": "disabled",
                **(env or {}),
            },
            cwd=cwd,
        )

    @property
    def _running(self) -> PrivateEngine:
        assert self._engine is not None  # noqa: S101 - opened before anything is built
        return self._engine

    def _start(self) -> None:
        self._engine = engines.up(self._runner, name=NAME, netns=self._netns, say=lambda _: None)

    def _clear(self) -> None:
        engines.down(self._runner, NAME, purge=True)
        registry.down(self._runner, NAME, purge=True)
        namespace.down(self._runner, NAME)

    def _versions(self) -> Mapping[str, str]:
        return read_versions(
            docker=self._docker_must("version", "--format", "{{json .Server.Version}}").stdout,
            buildx=self._must(*self.buildx, "version").stdout,
            builders=self._must(*self.buildx, "ls", "--format", "json").stdout,
            builder="default",
        )

    def _publish_runtime(self) -> None:
        """Push the stand-in as the runtime; for arm64, where no step runs, push an empty image."""
        architecture = machine_architecture()
        stand_in = runtime.ensure(self._runner, self._running, PYTHON, architecture, self._say)
        parts = [f"{self.runtime}:{architecture}"]
        self._docker_must("tag", stand_in.ref, parts[0])
        self._docker_must("push", "--quiet", parts[0])
        if architecture != "arm64":
            try:
                parts.append(self._publish_empty("arm64"))
            except EngineError as error:
                self.no_arm64 = f"no runtime for arm64 could be made: {error.problems[0].what}"
        self._must(*self.buildx, "imagetools", "create", "--tag", f"{self.runtime}:{PYTHON}", *parts)

    def _publish_empty(self, architecture: str) -> str:
        ref = f"{self.runtime}:{architecture}"
        with tempfile.TemporaryDirectory(prefix="lamina-bench-") as scratch:
            root, archive = Path(scratch, "root"), Path(scratch, "image.tar")
            (root / "var/task").mkdir(parents=True)
            config = ImageConfig(
                architecture=architecture,
                environment={"LAMBDA_TASK_ROOT": "/var/task"},
                entrypoint=("/lambda-entrypoint.sh",),
                workdir="/var/task",
                labels={},
            )
            write_archive(root, archive, config=config, ref=ref)
            self._docker_must("load", "--quiet", "--input", str(archive))
            self._docker_must("push", "--quiet", "--platform", f"linux/{architecture}", ref)
        return ref

    def _docker_must(self, *words: str) -> Completed:
        return self._must(str(self._running.docker), *words)

    def _must(self, *argv: str) -> Completed:
        done = self._runner.run(self.command(*argv, cwd=Path("/")))
        if not done.ok:
            raise EngineError.of(f"`{' '.join(argv)}` failed: {(done.stderr or done.stdout).strip()}")
        return done
