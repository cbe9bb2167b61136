"""Where the bench builds: an engine of its own that can be emptied, a registry beside it, and a meter."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from lamina.bench.tree import PYTHON
from lamina.errors import EngineError
from lamina.process import Command, Completed, Runner
from lamina.sandbox import engine as engines
from lamina.sandbox import namespace, registry, runtime
from lamina.sandbox.archive import ImageConfig, write_archive
from lamina.sandbox.engine import PrivateEngine
from lamina.sandbox.namespace import Traffic
from lamina.sandbox.network import inside
from lamina.sandbox.packages import machine_architecture
from lamina.sandbox.registry import LocalRegistry

NAME = "bench"
"""Of the engine, the registry and the namespace."""
_RUNTIME = "lambda/python"
_PORT = 5000


class Ground:
    """A private engine, a registry and, where the machine lets us, a network namespace around both.

    Commands are run inside the namespace: what they ask of the registry is counted as well.
    folder: for a docker configuration of its own.
    """

    def __init__(self, runner: Runner, folder: Path, say: Callable[[str], None]) -> None:
        self._runner = runner
        self._say = say
        self._docker = folder / "docker"
        self._opened = False
        self._netns: str | None = None
        self._engine: PrivateEngine | None = None
        self._registry: LocalRegistry | None = None
        self.uncounted: str | None = None
        """Why bytes are not counted; None when they are."""
        self.no_arm64: str | None = None
        """Why nothing can be built for arm64; None when it can."""
        self.versions: Mapping[str, str] = {}
        """Of docker, buildx and the BuildKit inside the engine, once it is open."""

    def open(self) -> None:
        """Start all of it, and put the runtime that every variant builds on into the registry.

        Raises EngineError on a machine that can have no private engine.
        """
        if reason := engines.unsupported():
            raise EngineError.of(reason, hint="run it as root on a Debian-family machine")
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
        """Remove all of it; nothing when it was never opened."""
        if self._opened:
            self._clear()

    def empty(self) -> None:
        """An engine as it is on a runner that has never built: nothing is left of the one before."""
        engines.down(self._runner, NAME, purge=True)
        self._start()

    def traffic(self) -> Traffic | None:
        """What has passed so far; None where bytes are not counted."""
        return namespace.traffic(self._registry.pid) if self._registry and self._netns else None

    @property
    def engine(self) -> PrivateEngine:
        """The engine as it runs now."""
        assert self._engine is not None  # noqa: S101 - opened before anything is built
        return self._engine

    @property
    def registry(self) -> str:
        """``host:port`` of the registry."""
        assert self._registry is not None  # noqa: S101 - opened before anything is built
        return self._registry.address

    @property
    def runtime(self) -> str:
        """The runtime's repository in the registry."""
        return f"{self.registry}/{_RUNTIME}"

    def command(self, *argv: str, cwd: Path, env: Mapping[str, str] | None = None) -> Command:
        """A command in the namespace that uses this engine, and no docker configuration but its own."""
        return Command(
            argv=inside(self._netns, *argv),
            env={
                **self.engine.environment,
                "LAMINA_ENGINE": NAME,
                "DOCKER_CONFIG": str(self._docker),
                "BUILDX_METADATA_PROVENANCE": "disabled",
                **(env or {}),
            },
            cwd=cwd,
        )

    def _start(self) -> None:
        self._engine = engines.up(self._runner, name=NAME, netns=self._netns, say=lambda _: None)

    def _clear(self) -> None:
        engines.down(self._runner, NAME, purge=True)
        registry.down(self._runner, NAME, purge=True)
        namespace.down(self._runner, NAME)

    def _versions(self) -> Mapping[str, str]:
        docker = self._docker_must("version", "--format", "{{json .Server.Version}}")
        buildx = self._must(str(self.engine.buildx), "version").stdout.split()
        listed = self._must(str(self.engine.buildx), "ls", "--format", "json").stdout.splitlines()
        builders = [json.loads(line) for line in listed if line.startswith("{")]
        nodes = [node for each in builders if each["Name"] == "default" for node in each["Nodes"]]
        found = {
            "docker": str(json.loads(docker.stdout)),
            "buildx": buildx[1] if len(buildx) > 1 else "",
            "buildkit": str(nodes[0].get("Version", "")) if nodes else "",
        }
        # Debian builds the engine without telling it which BuildKit is in it.
        return {name: version for name, version in found.items() if version and "unknown" not in version}

    def _publish_runtime(self) -> None:
        """The stand-in under the name of a runtime; for arm64, on which nothing is run, an empty one."""
        architecture = machine_architecture()
        stand_in = runtime.ensure(self._runner, self.engine, PYTHON, architecture, self._say)
        parts = [f"{self.runtime}:{architecture}"]
        self._docker_must("tag", stand_in.ref, parts[0])
        self._docker_must("push", "--quiet", parts[0])
        if architecture != "arm64":
            try:
                parts.append(self._publish_empty("arm64"))
            except EngineError as error:
                self.no_arm64 = f"no runtime for arm64 could be made: {error.problems[0].what}"
        buildx = (str(self.engine.buildx), "imagetools", "create", "--tag", f"{self.runtime}:{PYTHON}")
        self._must(*buildx, *parts)

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
        return self._must(str(self.engine.docker), *words)

    def _must(self, *argv: str) -> Completed:
        done = self._runner.run(self.command(*argv, cwd=Path("/")))
        if not done.ok:
            raise EngineError.of(f"`{' '.join(argv)}` failed: {(done.stderr or done.stdout).strip()}")
        return done
