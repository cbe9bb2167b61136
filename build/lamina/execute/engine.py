"""Find the Docker engine that builds, the user's own or else the private one, and a builder on it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import field
from hashlib import sha256
from pathlib import Path
from typing import TypedDict, cast

from lamina.errors import EngineError
from lamina.execute.docker_context import DEFAULT_HOST, chosen_host
from lamina.patterns import regex
from lamina.process import Command, Runner
from lamina.provider import EngineProvider, Say
from lamina.registries.engine_socket import UNIX, EngineInfo, EngineSocket
from lamina.registries.local import connect
from lamina.values import dataclass

OLDEST_BUILDX = (0, 20)
OLDEST_ENGINE = (24, 0)
OLDEST_PODMAN = (4, 3)
"""The oldest that was tried."""
OWN_BUILDER = "lamina"
ENGINES_BUILDER = "default"
"""The builder in the engine itself."""
_CONTAINER, _REMOTE = "docker-container", "remote"
_BOOTSTRAP_SECONDS, _START_SECONDS = 60, 600
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_SNAPSHOTTER = "io.containerd.snapshotter.v1"
_QUICK_SECONDS = 5
_UPGRADE = "install Docker Engine 28 or newer with buildx: https://docs.docker.com/engine/install/"
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
        podman: whether it is Podman, which has docker's API and no BuildKit.
        architecture: as in a platform, ``amd64``.
        id: of its folder of images and caches; empty if unknown.
    """

    host: str
    docker: Path
    buildx: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    version: str
    architecture: str
    containerd: bool
    private: bool
    podman: bool = False
    id: str = ""

    def __str__(self) -> str:
        kind = "Podman engine" if self.podman else "Docker engine"
        return f"{'private ' * self.private}{kind} {self.version} at {self.host}"


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
        return self.name == ENGINES_BUILDER and self.driver == "docker"

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

    LAMINA_ENGINE names a private engine that takes precedence. start: whether one may be started.
    Raises EngineError that says what was tried, also for an engine that this user may not use.
    """
    name = env.get("LAMINA_ENGINE")
    if name:
        return _private(runner, provider, name, start=start, say=say)
    host, chosen = chosen_host(env)
    try:
        return _facts(host, docker=Path("docker"), buildx=("docker", "buildx"), chosen=chosen)
    except EngineError as error:
        from lamina.execute.no_engine import denied, name_others

        if chosen or denied(error):
            raise
        silent = error.problems
    try:
        return _private(runner, provider, "default", start=start, say=say)
    except NoPrivateEngineError as error:
        others = name_others(env) if provider.unsupported() else ()
        raise EngineError(*silent, *(others or error.problems)) from None


class NoPrivateEngineError(EngineError):
    """A private engine is not running, and must not or cannot be started."""


def _private(runner: Runner, provider: EngineProvider, name: str, *, start: bool, say: Say) -> Engine:
    """Return the private engine of a name, started if it may be. Raises NoPrivateEngineError."""
    running = provider.find_engine(runner, name, say=say)
    reason = None if running else provider.unsupported()
    if reason:
        from lamina.execute.no_engine import get_engine

        raise NoPrivateEngineError.of(reason, hint=get_engine())
    if running is None and start:
        running = provider.start_engine(runner, name, say=say)
    if running is None:
        raise NoPrivateEngineError.of(
            f"the private engine {name!r} is down", hint="invoke build or invoke engine.up starts it"
        )
    return _facts(
        running.host,
        docker=running.docker,
        buildx=(str(running.buildx),),
        environment=running.environment,
        private=True,
    )


def _info(host: str, *, chosen: bool) -> EngineInfo:
    """Return the engine's facts about itself. Raises EngineError if it does not answer."""
    try:
        if host.startswith(UNIX):
            return EngineSocket(host, timeout=_QUICK_SECONDS).info()
        return _info_by_docker_py(host)
    except (EngineError, OSError, ValueError) as error:
        from lamina.execute.no_engine import silent

        raise silent(host, error, chosen=chosen) from error


def _info_by_docker_py(host: str) -> EngineInfo:
    from docker.errors import DockerException

    try:
        client = connect(host, timeout=_QUICK_SECONDS)
    except DockerException as error:
        raise OSError(str(error)) from None
    try:
        return cast("EngineInfo", client.info())
    finally:
        client.close()


def _facts(
    host: str,
    *,
    docker: Path,
    buildx: tuple[str, ...],
    environment: Mapping[str, str] | None = None,
    private: bool = False,
    chosen: bool = False,
) -> Engine:
    info = _info(host, chosen=chosen)
    version, podman = str(info.get("ServerVersion", "0")), bool(info.get("BuildahVersion"))
    _check_version(host, version, podman=podman)
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
        podman=podman,
        id=str(info.get("ID") or ""),
    )


def _check_version(host: str, version: str, *, podman: bool) -> None:
    oldest = OLDEST_PODMAN if podman else OLDEST_ENGINE
    if _parsed(version) >= oldest:
        return
    number = ".".join(map(str, oldest))
    raise EngineError.of(
        f"{'Podman' if podman else 'the Docker engine'} at {host} is {version}",
        allowed=f"{number} or newer" if podman else f"{number} or newer, for the BuildKit in it",
        hint=_UPGRADE,
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
    if not done.ok or "buildx" not in done.stdout:  # a `docker` that is Podman answers with Buildah's version
        said = (done.stderr or done.stdout).strip().splitlines()[:1]
        raise EngineError.of(
            f"docker buildx does not run: {''.join(said)}",
            allowed=f"buildx {oldest} or newer, of Docker's own command: Podman's `docker` has none",
            hint="install the docker-ce-cli and docker-buildx-plugin packages (macOS: brew install docker "
            "docker-buildx)",
        )
    if _parsed(done.stdout) < OLDEST_BUILDX:
        raise EngineError.of(
            f"docker buildx is too old: {done.stdout.strip()}",
            allowed=f"{oldest} or newer: older ones do not report progress as data",
            hint="upgrade the docker-buildx-plugin package",
        )


def choose_builder(
    runner: Runner, engine: Engine, wanted: str, *, push: bool = False, say: Say | None = None
) -> Builder:
    """Return the named builder; else the engine's own if it uses containerd; else one made for Lamina.

    wanted: a name, or several with commas. What is not spread over several is built on the first.
    push: whether images go to a registry: a builder on another engine cannot deliver them in any other way.
    say: prints progress while a builder in a container is started; None: none is started.
    """
    wanted, *others = wanted.split(",")
    if others and push:  # whether they answer is found out when the run is spread
        return Builder(name=wanted, driver=_REMOTE, local_images=False)
    if wanted:
        return _named(runner, engine, wanted, push=push, say=say)
    if engine.containerd:
        return Builder(name=ENGINES_BUILDER, local_images=True)
    builders = _builders(runner, engine)
    name = _own_name(builders, engine)
    if name not in builders:
        made = runner.run(
            Command(
                argv=(*engine.buildx, "create", "--name", name, "--driver", _CONTAINER),
                env=engine.environment,
            ),
            timeout=120,
        )
        if not made.ok and name not in _builders(runner, engine):  # another run may have made it
            raise EngineError.of(
                f"cannot create a builder: {made.stderr.strip()}",
                hint="turn on the containerd image store: https://docs.docker.com/engine/storage/containerd/",
            )
    if say:
        _start(runner, engine, name, builders.get(name, {}), say)
    return Builder(name=name, driver=_CONTAINER, local_images=False)


def _own_name(builders: Mapping[str, _ListedBuilder], engine: Engine) -> str:
    """Return the name of Lamina's builder; another one if it has been made for another engine."""
    nodes = builders.get(OWN_BUILDER, {}).get("Nodes") or ()
    if any("://" in each.get("Endpoint", "") and each.get("Endpoint") != engine.host for each in nodes):
        return f"{OWN_BUILDER}-{sha256(engine.host.encode()).hexdigest()[:8]}"
    return OWN_BUILDER


def _named(runner: Runner, engine: Engine, wanted: str, *, push: bool, say: Say | None) -> Builder:
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
    if driver == _CONTAINER and say:
        _start(runner, engine, wanted, builders[wanted], say)
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
    name = str(builder.get("Name"))
    if reason := _bootstrap(runner, engine, name, builder, seconds=_BOOTSTRAP_SECONDS):
        endpoints = ", ".join(str(node.get("Endpoint")) for node in builder.get("Nodes") or ())
        raise EngineError.of(
            f"the builder {name!r} does not answer at {endpoints}: {reason}",
            where="--builder",
            hint="start it, or choose another one: docker buildx ls",
        )


def _start(runner: Runner, engine: Engine, name: str, builder: _ListedBuilder, say: Say) -> None:
    """Start the BuildKit of a builder in a container. Raises EngineError with the reason if it cannot be."""
    if not _runs(builder):
        say(f"starting BuildKit in a container of the {engine}: builder {name}")
    if reason := _bootstrap(runner, engine, name, builder, seconds=_START_SECONDS):
        image = "if it cannot pull moby/buildkit, name another image of it"
        create = f"docker buildx create --name NAME --driver {_CONTAINER} --driver-opt image=IMAGE"
        raise EngineError.of(
            f"the builder {name!r} does not start: {reason}",
            hint="install catatonit, which Podman needs for it: apt-get install catatonit"
            if "container-init binary not found" in reason
            else f"{image}, with --builder NAME after: {create}",
        )


def _bootstrap(
    runner: Runner, engine: Engine, name: str, builder: _ListedBuilder, *, seconds: int
) -> str | None:
    """Start a builder that does not run. Return why it does not answer, None if it does."""
    if _runs(builder):
        return None
    argv = (*engine.buildx, "inspect", "--bootstrap", name)
    done = runner.run(Command(argv=argv, env=engine.environment), timeout=seconds)
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    said = lines or done.stderr.strip().splitlines() or [f"exit code {done.code}"]
    return None if done.ok else said[-1].removeprefix("ERROR: ")


def _runs(builder: _ListedBuilder) -> bool:
    return any(node.get("Status") == "running" for node in builder.get("Nodes") or ())


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
