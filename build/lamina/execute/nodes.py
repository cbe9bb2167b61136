"""The builders that share a run: find their BuildKits, and whether they answer and can push."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict
from urllib.parse import urlsplit

from lamina.errors import EngineError, Problem, RegistryError
from lamina.execute.engine import Engine
from lamina.files import read_json, write_json
from lamina.parallel import gather
from lamina.process import Command, Completed, Runner

ANSWER_SECONDS = 8
"""How long a BuildKit may take to answer. buildx itself waits for 20 s."""
_TIMED_OUT = 124
_PUSH_SECONDS = 60
"""How long a push of an empty layer may take: a builder may be busy with other builds."""
_START_SECONDS = 60
_THREADS = 32
_REMOTE, _ENGINE = "remote", "docker"
"""The drivers of a BuildKit at an address, and of the one in an engine."""
_BY_BUILDX = ["--allow-insecure-entitlement=network.host"]
"""The flags that buildx gives each node in a container."""
_FIELD = re.compile(r"^(Driver|Endpoint|Status|Platforms|Error): +(.*)$", re.M)
_UUID = re.compile(r"^ org\.mobyproject\.buildkit\.worker\.containerd\.uuid: +(\S+)$", re.M)
_UNKNOWN = re.compile(r"no builder \S+ found")
_RUNNING = "running"
_PROBE = "lamina-probe"


class _Instance(TypedDict, total=False):
    """A file of buildx that describes a builder."""

    Driver: str
    Nodes: list[_InstanceNode] | None


class _InstanceNode(TypedDict, total=False):
    """A node of a builder. DriverOpts, Flags, Files: how its BuildKit is reached and configured.

    Platforms: those that buildx was told to send to it.
    """

    Name: str
    Endpoint: str
    DriverOpts: dict[str, str] | None
    Flags: list[str] | None
    Files: dict[str, str] | None
    Platforms: list[dict[str, str]] | None


class BuilderLostError(EngineError):
    """A builder no longer answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuilderNode:
    """A BuildKit that takes part in a run, as a builder of its own.

    Attributes:
        builder: for ``--builder``.
        endpoint: where it is, as buildx names it.
        driver: of buildx, by which it is reached.
        platforms: which it builds, those that it emulates included.
        identity: equal for two names of one BuildKit, as far as that can be known.
    """

    builder: str
    endpoint: str
    driver: str = _REMOTE
    platforms: tuple[str, ...] = ()
    identity: str = ""

    def __str__(self) -> str:
        return f"{self.builder} ({self.endpoint})" if self.endpoint else self.builder


def split_builders(runner: Runner, engine: Engine, builders: Sequence[str]) -> tuple[str, ...]:
    """Return a builder for each node of some builders, and make those that are missing.

    buildx sends all targets of a call to one node. Raises EngineError if a builder cannot be made.
    """
    return tuple(each for name in builders for each in _nodes_of(runner, engine, name))


def address_of(endpoint: str) -> str:
    """Return the address behind an endpoint, the same for all names of a machine; of others the endpoint."""
    try:
        url = urlsplit(endpoint)
        found = socket.gethostbyname_ex(url.hostname)[2] if url.hostname and url.port else []
    except (OSError, ValueError):
        return endpoint
    return ",".join(f"{url.scheme}://{address}:{url.port}" for address in sorted(found)) or endpoint


def find_nodes(
    runner: Runner,
    engine: Engine,
    builders: Sequence[str],
    platforms: Collection[str],
    *,
    named: Collection[str],
    resolve: Callable[[str], str] = address_of,
) -> tuple[tuple[BuilderNode, ...], tuple[Problem, ...]]:
    """Return the BuildKits of some builders that can take part, and a problem for each that does not answer.

    A BuildKit with none of the platforms takes no part if another has one: a linked image alone needs no
    machine of its platform.

    Args:
        builders: of one node each; see `split_builders`.
        platforms: of the images.
        named: the builders that the user named. All these must be able to take part.
        resolve: see `address_of`.

    Raises EngineError with all faults: a builder that does not exist, a BuildKit named twice, one of another
    platform. Also if no builder answers.
    """
    asked = gather(lambda name: _ask(runner, engine, name), builders, threads=_THREADS)
    EngineError.check(
        Problem(
            what=f"there is no builder {name!r}",
            where="--builder",
            hint=f"docker buildx create --name {name} --driver {_REMOTE} tcp://HOST:PORT",
        )
        for name, done in zip(builders, asked, strict=True)
        if _UNKNOWN.search(done.stderr)
    )
    nodes: list[BuilderNode] = []
    silent: list[Problem] = []
    for name, done in zip(builders, asked, strict=True):
        node = _read(engine, name, done, resolve)
        if _answered(done):
            nodes.append(node)
        else:
            silent.append(lost(node, _reason(done)))
    fitting = [node for node in nodes if not set(platforms).isdisjoint(node.platforms)]
    EngineError.check(_faults(nodes, fitting, platforms, named))
    if not nodes:
        raise EngineError(*silent)
    return tuple(fitting or nodes), tuple(silent)


def lost(node: BuilderNode, reason: str) -> Problem:
    """Return the problem of a node that takes no further part in a run."""
    return Problem(
        what=f"the builder {node} does not answer: {reason}",
        where="--builder",
        hint="start it, or choose others: docker buildx ls",
    )


def answers(runner: Runner, engine: Engine, node: BuilderNode) -> str | None:
    """Return why a BuildKit that was there does not answer; None if it does."""
    done = _inspect(runner, engine, node.builder)
    return None if _answered(done) else _reason(done)


def find_pushers(
    runner: Runner,
    engine: Engine,
    nodes: Iterable[BuilderNode],
    repository: str,
    folder: Path,
    env: Mapping[str, str],
) -> tuple[tuple[BuilderNode, ...], tuple[Problem, ...]]:
    """Push an empty layer from each node, by digest and without a tag, which an engine's own cannot.

    repository: with its registry. folder: of the run, for the bake file. env: holds the credentials.
    Return the nodes, and a problem for each that no longer answers. Raises RegistryError with a problem for
    each node that cannot push.
    """
    listed = tuple(nodes)
    (folder / _PROBE).mkdir()
    file = folder / f"{_PROBE}.json"
    output = f"type=image,name={repository},push=true,push-by-digest=true,oci-mediatypes=true"
    target = {
        "context": str(folder / _PROBE),
        "dockerfile-inline": "FROM scratch\nWORKDIR /probe\n",
        "args": {"SOURCE_DATE_EPOCH": "0"},
        "output": [output],
    }
    write_json(file, {"target": {"default": target}})

    def push(node: BuilderNode) -> str | None:
        argv = (*engine.buildx, "bake", f"--file={file}", f"--builder={node.builder}", "--progress=plain")
        allowed = (f"--allow=fs.read={folder / _PROBE}",)
        plain = {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}  # a provenance would be another one each time
        command = Command(argv=(*argv, *allowed), env={**engine.environment, **env, **plain})
        done = runner.run(command, timeout=_PUSH_SECONDS)
        return None if done.ok else _reason(done, _PUSH_SECONDS)

    asked = [node for node in listed if node.driver != _ENGINE]
    reasons = {node: reason for node, reason in zip(asked, _each(push, asked), strict=True) if reason}
    silent = _each(lambda node: answers(runner, engine, node), reasons)
    gone = {node: reason for node, reason in zip(reasons, silent, strict=True) if reason}
    # One after the other: a registry may refuse one of two that push the same new layer at once.
    refused = {node: reason for node in reasons if node not in gone and (reason := push(node))}
    RegistryError.check(
        Problem(
            what=f"the builder {node} cannot push to {repository}: {reason}",
            where="--builder",
            hint="the builder itself sends the images: it must reach the registry, trust its certificate, or "
            "have it in its configuration as an insecure one; credentials come from docker login on this "
            "machine",
        )
        for node, reason in refused.items()
    )
    left = tuple(node for node in listed if node not in gone)
    problems = tuple(lost(node, reason) for node, reason in gone.items())
    if not left:
        raise EngineError(*problems)
    return left, problems


def _each(work: Callable[[BuilderNode], str | None], nodes: Iterable[BuilderNode]) -> list[str | None]:
    return gather(work, nodes, threads=_THREADS)


def _faults(
    nodes: Iterable[BuilderNode],
    fitting: Collection[BuilderNode],
    platforms: Iterable[str],
    named: Collection[str],
) -> Iterable[Problem]:
    seen: dict[str, BuilderNode] = {}
    for node in nodes:
        if node.identity in seen:
            what = f"the builders {seen[node.identity]} and {node} are one BuildKit"
            yield Problem(what=what, where="--builder", hint="name each once")
        seen.setdefault(node.identity, node)
        if fitting and node not in fitting and node.builder in named:
            yield Problem(
                what=f"the builder {node} is of another platform: the run is for {', '.join(platforms)}",
                where="--builder",
                allowed=", ".join(map(str, fitting)),
                hint=f"it builds {', '.join(node.platforms) or 'nothing known'}",
            )


def _nodes_of(runner: Runner, engine: Engine, name: str) -> tuple[str, ...]:
    """Return a builder for each node of a builder, making those that are missing.

    The builder itself if it has one node, or nodes with options, which a builder made of them would lack.
    """
    instance = _instance(engine, name)
    nodes = instance.get("Nodes") or []
    if len(nodes) < 2 or any(map(_has_options, nodes)):
        return (name,)
    return tuple(_builder_of(runner, engine, name, instance.get("Driver", ""), node) for node in nodes)


def _has_options(node: _InstanceNode) -> bool:
    options = (node.get("DriverOpts"), node.get("Files"), node.get("Platforms"))
    return any(options) or node.get("Flags") not in (None, [], _BY_BUILDX)


def _builder_of(runner: Runner, engine: Engine, name: str, driver: str, node: _InstanceNode) -> str:
    """Return the builder of one node, made again if it is of another address."""
    own, endpoint = f"{name}-{node.get('Name')}", node.get("Endpoint", "")
    made = _instance(engine, own)
    if made.get("Driver") == driver and [each.get("Endpoint") for each in made.get("Nodes") or ()] == [
        endpoint
    ]:
        return own
    if made:
        runner.run(
            Command(argv=(*engine.buildx, "rm", "--keep-daemon", own), env=engine.environment), timeout=60
        )
    argv = (
        *engine.buildx,
        "create",
        "--name",
        own,
        "--node",
        node.get("Name", ""),
        "--driver",
        driver,
        endpoint,
    )
    done = runner.run(Command(argv=argv, env=engine.environment), timeout=60)
    if not done.ok:
        what = f"cannot make a builder of the node {node.get('Name')} of {name}: {_reason(done)}"
        raise EngineError.of(what, where="--builder")
    return own


def _instances(engine: Engine) -> Path:
    """Return the folder in which buildx keeps a JSON file for each builder."""
    env = {**os.environ, **engine.environment}
    config = env.get("DOCKER_CONFIG") or Path.home() / ".docker"
    return Path(env.get("BUILDX_CONFIG") or Path(config, "buildx"), "instances")


def _instance(engine: Engine, name: str) -> _Instance:
    found: _Instance | None = read_json(_instances(engine) / name)
    return found or {}


def _ask(runner: Runner, engine: Engine, name: str) -> Completed:
    """Ask a builder for what it is. One that runs on demand (in a container, in a cluster) is started."""
    done = _inspect(runner, engine, name)
    if not done.ok or _answered(done) or _REMOTE in _values(done, "Driver"):
        return done
    argv = (*engine.buildx, "inspect", "--bootstrap", name)
    return runner.run(Command(argv=argv, env=engine.environment), timeout=_START_SECONDS)


def _inspect(runner: Runner, engine: Engine, name: str) -> Completed:
    command = Command(argv=(*engine.buildx, "inspect", name), env=engine.environment)
    return runner.run(command, timeout=ANSWER_SECONDS)


def _answered(done: Completed) -> bool:
    return done.ok and _RUNNING in _values(done, "Status")


def _values(done: Completed, name: str) -> tuple[str, ...]:
    """Return the values of one of `_FIELD` that ``buildx inspect`` printed, of all nodes."""
    return tuple(value for key, value in _FIELD.findall(done.stdout) if key == name)


def _read(engine: Engine, name: str, done: Completed, resolve: Callable[[str], str]) -> BuilderNode:
    known = [node.get("Endpoint", "") for node in _instance(engine, name).get("Nodes") or ()]
    endpoint = ", ".join(_values(done, "Endpoint") or known)
    driver = "".join(_values(done, "Driver"))
    address = resolve(endpoint) if driver == _REMOTE else name  # an endpoint of others is an engine
    platforms = (each.strip(" *") for each in ",".join(_values(done, "Platforms")).split(","))
    return BuilderNode(
        builder=name,
        endpoint=endpoint,
        driver=driver,
        platforms=tuple(filter(None, platforms)),
        identity=",".join(_UUID.findall(done.stdout)) or address,
    )


def _reason(done: Completed, seconds: float = ANSWER_SECONDS) -> str:
    """Return buildx's own words, or that it got no answer in time."""
    if done.code == _TIMED_OUT:
        return f"no answer within {seconds:g} s"
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    if lines:
        return lines[-1].removeprefix("ERROR: ")
    said = (*_values(done, "Error"), *_values(done, "Status"), f"exit code {done.code}")
    return said[0]
