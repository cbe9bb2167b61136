"""Ground on the user's own engine, for users without root: a builder and a registry in containers.

The builder shares the network of the registry's container, so that the bytes of both are counted at its two
links. The registry has the same address for the builder and, by a published port, for other commands.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from bench.ground import RUNTIME, read_versions
from bench.tree import AWS_RUNTIME, PYTHON
from lamina.errors import EngineError
from lamina.execute.engine import Engine, check_buildx, find_engine
from lamina.process import Command, Completed, Runner
from lamina.sandbox.namespace import Traffic, parse_traffic
from lamina.wiring import sandbox

NAME = "lamina-bench"
"""The name of the builder and of the registry's container."""
_REGISTRY = "registry:2"
_READY_SECONDS = 30.0


class BorrowedGround:
    """A docker-container builder and a registry in the user's own engine.

    Images have a unique stack in their names, and are removed with the ground.
    """

    stored = "type=docker"

    def __init__(self, runner: Runner, say: Callable[[str], None]) -> None:
        self._runner = runner
        self._say = say
        self._stack = f"bench-{secrets.token_hex(4)}"
        self._port = 0
        self._engine: Engine | None = None
        self.uncounted: str | None = None
        self.no_arm64: str | None = None
        self.versions: Mapping[str, str] = {}

    @property
    def buildx(self) -> tuple[str, ...]:
        """See `Ground.buildx`."""
        return self._found.buildx

    @property
    def docker(self) -> str:
        """See `Ground.docker`."""
        return str(self._found.docker)

    @property
    def registry(self) -> str:
        """See `Ground.registry`."""
        return f"127.0.0.1:{self._port}"

    @property
    def runtime(self) -> str:
        """See `Ground.runtime`."""
        return f"{self.registry}/{RUNTIME}"

    def open(self) -> None:
        """See `Ground.open`."""
        self._engine = find_engine(self._runner, sandbox(), start=False, say=self._say)
        check_buildx(self._runner, self._engine)
        self._clear()
        self._port = _free_port()
        self._say("starting a registry in a container")
        self._docker(
            *("run", "--detach", "--name", NAME, "--publish", f"{self.registry}:{self._port}"),
            *("--env", f"REGISTRY_HTTP_ADDR=0.0.0.0:{self._port}", _REGISTRY),
        )
        _wait_for(self._port)
        self._create()
        self.versions = read_versions(
            docker=self._docker("version", "--format", "{{json .Server.Version}}").stdout,
            buildx=self._must(*self.buildx, "version").stdout,
            builders=self._must(*self.buildx, "ls", "--format", "json").stdout,
            builder=NAME,
        )
        copy = ("imagetools", "create", "--tag", f"{self.runtime}:{PYTHON}", f"{AWS_RUNTIME}:{PYTHON}")
        self._must(*self.buildx, *copy)

    def close(self) -> None:
        """See `Ground.close`."""
        if self._engine:
            self._forget_images()
            self._clear()

    def empty(self) -> None:
        """See `Ground.empty`: removes the builder with its cache."""
        self._run(*self.buildx, "rm", "--force", NAME)
        self._forget_images()
        self._create()

    def nodes(self, count: int) -> AbstractContextManager[str]:
        """See `Ground.nodes`: builders in containers of one engine would not be separate ones."""
        raise EngineError.of(f"builders of {count} BuildKits take private engines, which need root")

    def traffic(self) -> Traffic | None:
        """See `Ground.traffic`."""
        return parse_traffic(self._docker("exec", NAME, "cat", "/proc/net/dev").stdout)

    def command(self, *argv: str, cwd: Path, env: Mapping[str, str] | None = None) -> Command:
        """See `Ground.command`: uses the user's own docker configuration, which may name buildx's folder."""
        return Command(
            argv=argv,
            env={
                **self._found.environment,
                "BUILDX_BUILDER": NAME,
                "LAMINA_STACK": self._stack,
                "BUILDX_METADATA_PROVENANCE": "disabled",
                **(env or {}),
            },
            cwd=cwd,
        )

    @property
    def _found(self) -> Engine:
        assert self._engine is not None  # noqa: S101 - opened before anything is built
        return self._engine

    def _create(self) -> None:
        options = ("--driver", "docker-container", "--driver-opt", f"network=container:{NAME}")
        self._must(*self.buildx, "create", "--name", NAME, *options, "--bootstrap")

    def _clear(self) -> None:
        self._run(*self.buildx, "rm", "--force", NAME)
        self._run(str(self._found.docker), "rm", "--force", "--volumes", NAME)

    def _forget_images(self) -> None:
        names = (f"*-{self._stack}", f"{self.registry}/*/*")
        filters = [word for name in names for word in ("--filter", f"reference={name}")]
        listed = self._docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", *filters)
        if ours := listed.stdout.split():
            self._run(str(self._found.docker), "image", "rm", "--force", *ours)

    def _docker(self, *words: str) -> Completed:
        return self._must(str(self._found.docker), *words)

    def _must(self, *argv: str) -> Completed:
        done = self._run(*argv)
        if not done.ok:
            raise EngineError.of(f"`{' '.join(argv)}` failed: {(done.stderr or done.stdout).strip()}")
        return done

    def _run(self, *argv: str) -> Completed:
        return self._runner.run(Command(argv=argv, env=self._found.environment))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait_for(port: int) -> None:
    end = time.monotonic() + _READY_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise EngineError.of(f"the registry does not answer on port {port}: {error}") from None
            time.sleep(0.1)
