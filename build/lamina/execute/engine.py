"""Find the Docker engine that builds, the user's own or else the private one, and a builder on it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import TypedDict, cast

from lamina.errors import EngineError, Problem
from lamina.patterns import regex
from lamina.process import Command, Runner
from lamina.provider import EngineProvider, Say
from lamina.registries.engine_socket import UNIX, EngineInfo, EngineSocket
from lamina.registries.local import connect
from lamina.values import dataclass

DEFAULT_HOST = "unix:///var/run/docker.sock"
OLDEST_BUILDX = (0, 20)
OLDEST_ENGINE = (24, 0)
OWN_BUILDER = "lamina"
ENGINES_BUILDER = "default"
"""The builder in the engine itself."""
_CONTAINER, _REMOTE = "docker-container", "remote"
_BOOTSTRAP_SECONDS = 60
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_SNAPSHOTTER = "io.containerd.snapshotter.v1"
_QUICK_SECONDS = 5
_GET_DOCKER = "install Docker Engine 28 or newer with buildx: https://docs.docker.com/engine/install/"
_VERSION = regex(r"v?(\d+)\.(\d+)")


class _Node(TypedDict, total=False):
    """An engine of a builder."""

    Status: str
    Endpoint: str
    Labels: list[str] | None


class _ListedBuilder(TypedDict, total=False):
    """A line of ``docker buildx ls --format json``."""

    Name: str
    Driver: str
    Nodes: list[_Node] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A Docker engine that answered.

    Attributes:
        host: as in DOCKER_HOST.
        docker, buildx: the commands to run for it, with ``environment``.
        containerd: whether images are in the containerd store.
        private: whether it is Lamina's own.
        architecture: as in a platform, ``amd64``.
    """

    host: str
    docker: Path
    buildx: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    version: str
    architecture: str
    containerd: bool
    private: bool

    def __str__(self) -> str:
        kind = "private Docker engine" if self.private else "Docker engine"
        return f"{kind} {self.version} at {self.host}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """A buildx builder.

    Attributes:
        name: for ``--builder``.
        driver: buildx's driver name.
        local_images: whether it sees the images in the engine's store; only the engine's own builder does.
        remote_cache: whether it reads and writes a cache in a registry.
    """

    name: str
    driver: str = "docker"
    local_images: bool
    remote_cache: bool = True

    @property
    def on_engine(self) -> bool:
        """Whether the engine itself builds."""
        return self.name == ENGINES_BUILDER

    def __str__(self) -> str:
        images = "builds on the engine's images" if self.local_images else "builds on images of registries"
        cache = "a remote cache" if self.remote_cache else "no remote cache"
        return f"builder {self.name} ({self.driver} driver): {images}, {cache}"


def find_engine(
    runner: Runner,
    provider: EngineProvider,
    *,
    env: Mapping[str, str] = os.environ,
    start: bool = True,
    say: Say = lambda _: None,
) -> Engine:
    """Return the engine of DOCKER_HOST or the docker context; if the default is silent, the private one.

    LAMINA_ENGINE names a private engine that takes precedence.
    start: whether a private engine may be started. Raises EngineError that says what was tried.
    """
    name = env.get("LAMINA_ENGINE")
    if name:
        return _private(runner, provider, name, (), start=start, say=say)
    host, chosen = chosen_host(env)
    try:
        return _facts(host, docker=Path("docker"), buildx=("docker", "buildx"))
    except EngineError as error:
        if chosen:
            raise
        silent = error.problems
    return _private(runner, provider, "default", silent, start=start, say=say)


def _private(
    runner: Runner,
    provider: EngineProvider,
    name: str,
    silent: tuple[Problem, ...],
    *,
    start: bool,
    say: Say,
) -> Engine:
    """Return the private engine of a name. silent: why the user's own engine does not answer."""
    running = provider.find_engine(runner, name, say=say)
    reason = None if running else provider.unsupported()
    if running is None and start and reason is None:
        running = provider.start_engine(runner, name, say=say)
    if running is None:
        hint = _GET_DOCKER if reason else "invoke engine.up"
        raise EngineError(*silent, Problem(what=reason or f"the private engine {name!r} is down", hint=hint))
    return _facts(
        running.host,
        docker=running.docker,
        buildx=(str(running.buildx),),
        environment=running.environment,
        private=True,
    )


def chosen_host(env: Mapping[str, str]) -> tuple[str, bool]:
    """Return the address of the user's engine, and whether the user chose it explicitly."""
    if env.get("DOCKER_HOST"):
        return env["DOCKER_HOST"], True
    if not env.get("DOCKER_CONTEXT") and not _names_context(env):
        return DEFAULT_HOST, False
    from docker.context import ContextAPI

    try:
        context = ContextAPI.get_context(env.get("DOCKER_CONTEXT") or None)
    except Exception as error:  # docker-py raises bare Exceptions for damaged context files
        raise EngineError.of(
            f"the docker context cannot be read: {error}", hint="docker context ls"
        ) from None
    if context is None or context.name == "default":
        return DEFAULT_HOST, False
    return str(context.Host), True


def _names_context(env: Mapping[str, str]) -> bool:
    """Whether docker's configuration may name a context; docker-py takes long to import only to say no."""
    folder = env.get("DOCKER_CONFIG") or Path(env.get("HOME") or "~", ".docker").expanduser()
    try:
        return bool(json.loads(Path(folder, "config.json").read_bytes()).get("currentContext"))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, AttributeError):
        return True


def _info(host: str) -> EngineInfo:
    """Return the engine's facts about itself. Raises EngineError if it does not answer."""
    try:
        if host.startswith(UNIX):
            return EngineSocket(host, timeout=_QUICK_SECONDS).info()
        return _info_by_docker_py(host)
    except (EngineError, OSError, ValueError) as error:
        raise _silent(host, error) from None


def _info_by_docker_py(host: str) -> EngineInfo:
    from docker.errors import DockerException

    try:
        client = connect(host, timeout=_QUICK_SECONDS)
    except DockerException as error:
        raise _silent(host, error) from None
    try:
        return cast("EngineInfo", client.info())
    finally:
        client.close()


def _silent(host: str, error: BaseException) -> EngineError:
    return EngineError.of(
        f"no Docker engine answers at {host}: {_innermost(error)}",
        hint="start it, or unset DOCKER_HOST and DOCKER_CONTEXT to use the default one",
    )


def _innermost(error: BaseException) -> str:
    """Return the operating system's message inside nested errors."""
    if isinstance(error, EngineError):
        return error.problems[0].what.rpartition(": ")[2]
    found = re.search(
        r"(FileNotFoundError|PermissionError|ConnectionRefusedError)\(\d+, '([^']+)'\)", str(error)
    )
    return found.group(2) if found else str(error)


def _facts(
    host: str,
    *,
    docker: Path,
    buildx: tuple[str, ...],
    environment: Mapping[str, str] | None = None,
    private: bool = False,
) -> Engine:
    info = _info(host)
    version = str(info.get("ServerVersion", "0"))
    if _parsed(version) < OLDEST_ENGINE:
        raise EngineError.of(
            f"the Docker engine at {host} is {version}",
            allowed=f"{'.'.join(map(str, OLDEST_ENGINE))} or newer, for the BuildKit in it",
            hint=_GET_DOCKER,
        )
    status = dict(pair for pair in info.get("DriverStatus") or [] if len(pair) == 2)
    return Engine(
        host=host,
        docker=docker,
        buildx=buildx,
        environment=environment or ({} if host == DEFAULT_HOST else {"DOCKER_HOST": host}),
        version=version,
        architecture=_ARCHITECTURES.get(info.get("Architecture", ""), str(info.get("Architecture", ""))),
        containerd=status.get("driver-type") == _SNAPSHOTTER,
        private=private,
    )


def check_buildx(runner: Runner, engine: Engine, env: Mapping[str, str] = os.environ) -> None:
    """Raise EngineError if BuildKit is switched off, or buildx is missing or too old."""
    if env.get("DOCKER_BUILDKIT", "").strip().lower() in {"0", "false"}:
        raise EngineError.of(
            "DOCKER_BUILDKIT switches BuildKit off",
            where=f"$DOCKER_BUILDKIT={env['DOCKER_BUILDKIT']}",
            allowed="DOCKER_BUILDKIT=1, or unset",
            hint="unset DOCKER_BUILDKIT",
        )
    done = runner.run(Command(argv=(*engine.buildx, "version"), env=engine.environment), timeout=30)
    oldest = ".".join(map(str, OLDEST_BUILDX))
    if not done.ok:
        raise EngineError.of(
            f"docker buildx does not run: {(done.stderr or done.stdout).strip().splitlines()[:1]}",
            allowed=f"buildx {oldest} or newer",
            hint="install the docker-buildx-plugin package",
        )
    if _parsed(done.stdout) < OLDEST_BUILDX:
        raise EngineError.of(
            f"docker buildx is too old: {done.stdout.strip()}",
            allowed=f"{oldest} or newer: older ones do not report progress as data",
            hint="upgrade the docker-buildx-plugin package",
        )


def choose_builder(runner: Runner, engine: Engine, wanted: str, *, push: bool = False) -> Builder:
    """Return the named builder; else the engine's own if it uses containerd; else one made for Lamina.

    wanted: a name, or several with commas. What is not spread over several is built on the first.
    push: whether images go to a registry: a builder on another engine cannot deliver them in any other way.
    """
    wanted, *others = wanted.split(",")
    if others and push:  # whether they answer is found out when the run is spread
        return Builder(name=wanted, driver=_REMOTE, local_images=False)
    if wanted:
        return _named(runner, engine, wanted, push=push)
    if engine.containerd:
        return Builder(name=ENGINES_BUILDER, local_images=True)
    if OWN_BUILDER not in _builders(runner, engine):
        made = runner.run(
            Command(
                argv=(*engine.buildx, "create", "--name", OWN_BUILDER, "--driver", _CONTAINER),
                env=engine.environment,
            ),
            timeout=120,
        )
        if not made.ok and OWN_BUILDER not in _builders(runner, engine):  # another run may have made it
            raise EngineError.of(
                f"cannot create a builder: {made.stderr.strip()}",
                hint="turn on the containerd image store: https://docs.docker.com/engine/storage/containerd/",
            )
    return Builder(name=OWN_BUILDER, driver=_CONTAINER, local_images=False)


def _named(runner: Runner, engine: Engine, wanted: str, *, push: bool) -> Builder:
    """Return a builder by name: with another driver, the engine's own, or of another docker context."""
    builders = _builders(runner, engine)
    if wanted not in builders:
        raise EngineError.of(
            f"there is no builder {wanted!r}",
            where="--builder",
            allowed=", ".join(sorted(builders)) or None,
            hint=f"docker buildx create --name {wanted} --driver {_CONTAINER}",
        )
    driver = str(builders[wanted].get("Driver"))
    if driver == _REMOTE:
        _check_remote(runner, engine, builders[wanted])
    if driver != "docker":
        return Builder(name=wanted, driver=driver, local_images=False)
    if wanted == ENGINES_BUILDER:
        return Builder(name=wanted, local_images=engine.containerd, remote_cache=engine.containerd)
    if not push:
        raise EngineError.of(
            f"the builder {wanted!r} is another engine, which keeps the images that it builds",
            where="--builder",
            hint=f"add --push, or use that engine altogether: DOCKER_CONTEXT={wanted}",
        )
    labels = [label for node in builders[wanted].get("Nodes") or () for label in node.get("Labels") or ()]
    containerd = any(label.endswith(".containerd.uuid") for label in labels)
    return Builder(name=wanted, local_images=False, remote_cache=containerd)


def _check_remote(runner: Runner, engine: Engine, builder: _ListedBuilder) -> None:
    """Raise EngineError if a remote builder does not answer within buildx's own 20 s.

    A build would only say "context deadline exceeded".
    """
    nodes = builder.get("Nodes") or ()
    if any(node.get("Status") == "running" for node in nodes):
        return
    name = str(builder.get("Name"))
    done = runner.run(
        Command(argv=(*engine.buildx, "inspect", "--bootstrap", name), env=engine.environment),
        timeout=_BOOTSTRAP_SECONDS,
    )
    if not done.ok:
        endpoints = ", ".join(str(node.get("Endpoint")) for node in nodes)
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        reason = lines[-1].removeprefix("ERROR: ") if lines else f"exit code {done.code}"
        raise EngineError.of(
            f"the builder {name!r} does not answer at {endpoints}: {reason}",
            where="--builder",
            hint="start it, or choose another one: docker buildx ls",
        )


def _builders(runner: Runner, engine: Engine) -> Mapping[str, _ListedBuilder]:
    """Return the output of ``docker buildx ls`` for each builder, by name."""
    done = runner.run(
        Command(argv=(*engine.buildx, "ls", "--format", "json"), env=engine.environment), timeout=60
    )
    listed: list[_ListedBuilder] = [
        json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")
    ]
    return {str(each.get("Name")): each for each in listed}


def _parsed(version: str) -> tuple[int, int]:
    found = _VERSION.search(version)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)
