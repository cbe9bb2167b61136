"""Unit tests touch files below tmp_path and nothing else: no network, no processes, no waiting."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, NoReturn

import pytest

from lamina.decide import preflight
from lamina.decide.plan import FoundImage, Plan, StoreLookup, make_plan
from lamina.declare.config import Project, load_project
from lamina.declare.graph import Graph, read_graph
from lamina.declare.lockfile import LOCK_FILE, Lock, Pin
from lamina.errors import ConfigError, LaminaError
from lamina.identify.fingerprint import BuildInputs
from lamina.identify.image import Image, identify
from lamina.process import Command, Completed
from lamina.refs import Reference
from memory import MemoryRegistry, Programs, Shop
from trees import Tree

HERE = PurePath(__file__).parent
RUNTIME = "public.ecr.aws/lambda/python:3.13"
DIGEST = "sha256:" + "1" * 64
REAL = {
    "execute/test_no_engine.py",
    "execute/test_revision.py",
    "identify/test_kept_file.py",
    "registries/test_engine_socket.py",
    "registries/test_http.py",
    "registries/test_local.py",
    "sandbox",
    "smoke/test_starting.py",
    "telemetry/test_tracing.py",
    "test_process.py",
}
"""Tests of what needs the real thing: processes, sockets of this machine, sleep."""


@pytest.fixture(autouse=True)
def sealed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail whatever reaches out, and let no setting of the machine in."""
    where = request.path.relative_to(HERE).as_posix()
    if any(where == each or where.startswith(f"{each}/") for each in REAL):
        return

    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a unit test reached for the network, a process or the clock")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(time, "sleep", refuse)
    for name in (
        *("CI", "GITHUB_ACTIONS", "NO_COLOR", "FORCE_COLOR", "DOCKER_HOST", "DOCKER_BUILDKIT"),
        *("BUILDX_BUILDER", "BUILDKIT_PROGRESS", "USE_STATIC_BASE_IMAGE", "TRACEPARENT", "TRACESTATE"),
        *(name for name in os.environ if name.startswith("OTEL_")),
    ):
        monkeypatch.delenv(name, raising=False)


@dataclass(slots=True)
class ScriptedRunner:
    """Plays programs in the order of a script and refuses what is not in it."""

    script: list[tuple[tuple[str, ...], Completed]] = field(default_factory=list)

    def run(self, command: Command, *, timeout: float | None = None) -> Completed:
        assert self.script, f"not planned: {command}"
        expected, answer = self.script.pop(0)
        assert command.argv[: len(expected)] == expected, f"not planned: {command}"
        return answer

    def stream(
        self, command: Command, on_line: Callable[[str], None], *, tick: Callable[[], None] | None = None
    ) -> Completed:
        answer = self.run(command)
        for line in answer.stderr.splitlines():
            on_line(line)
        return answer

    def spawn(self, command: Command, *, log: Path) -> int:
        raise AssertionError(f"not planned: {command}")


@dataclass(slots=True)
class Shelf:
    """Where images live: what was put there is found again by its content tag."""

    refs: set[Reference] = field(default_factory=set)
    inputs: dict[str, BuildInputs] = field(default_factory=dict)

    def put(self, images: Iterable[Image]) -> None:
        for image in images:
            self.refs.add(image.ref)
            self.inputs[image.name] = image.inputs

    def find(self, images: Mapping[str, Image]) -> StoreLookup:
        found = {
            name: FoundImage(ref=image.ref, digest=DIGEST, size=1, fingerprint=image.fingerprint)
            for name, image in images.items()
            if image.ref in self.refs
        }
        return StoreLookup(store="the shelf", found=found, recorded=[*self.inputs])


@dataclass(slots=True)
class Repo(Tree):
    """A repository on the disk, read by the front doors of the package."""

    flags: dict[str, Any] = field(default_factory=lambda: {"platform": "linux/amd64"})
    env: dict[str, str] = field(default_factory=dict)
    bases: dict[str, str] = field(default_factory=lambda: {RUNTIME: DIGEST})

    def image(self, name: str, *lines: str, ignore: Iterable[str] | None = None) -> None:
        """``dockerfiles/<name>/Dockerfile`` and, when given, its ignore file."""
        self.write(f"dockerfiles/{name}/Dockerfile", "\n".join(lines) + "\n")
        if ignore is not None:
            self.write(f"dockerfiles/{name}/Dockerfile.dockerignore", "\n".join(ignore) + "\n")

    def config(self, text: str) -> None:
        self.write("pyproject.toml", text)

    def project(self) -> Project:
        return load_project(self.root, env=self.env, flags=self.flags)

    def graph(self) -> Graph:
        return read_graph(self.project())

    def images(self, *names: str, stable: Mapping[str, str] | None = None) -> Mapping[str, Image]:
        project = self.project()
        graph = read_graph(project)
        chosen = graph.select(names)
        bases = dict.fromkeys(graph.nodes, self.bases)
        images, problems = identify(project, graph, chosen, prefix="", bases=bases, stable=stable)
        ConfigError.check(problems)
        return images

    def fingerprints(self) -> dict[str, str]:
        return {name: image.fingerprint for name, image in self.images().items()}

    def files(self, name: str, context: str = "") -> list[str]:
        """The paths that can reach an image."""
        return [each.path for each in self.images(name)[name].contexts[context].files]

    def faults(self) -> list[str]:
        """What a plan would refuse, as it is told."""
        try:
            images = self.images()
        except LaminaError as error:
            return [str(problem) for problem in error.problems]
        return [str(problem) for problem in preflight.faults(images)]

    def notes(self) -> list[str]:
        return [str(problem) for problem in preflight.notes(self.images())]

    def plan(self, shelf: Shelf) -> Plan:
        images = self.images()
        return make_plan(images, images, shelf.find(images), last=shelf.inputs)

    def rebuilds(self, shelf: Shelf) -> dict[str, tuple[str, ...]]:
        """The images that would be built, each with its reasons."""
        return {each.image.name: each.reasons for each in self.plan(shelf).acting("build")}


@pytest.fixture
def at_ctrl_c() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, also in a background job, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    root = tmp_path / "repo"
    root.mkdir()
    return Repo(root)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def app(repo: Repo) -> Repo:
    """One image, ``app``, that copies the folder ``src``."""
    repo.image("app", f"FROM {RUNTIME}", "COPY src /var/task/", 'CMD ["handler.handler"]')
    repo.write("src/handler.py", "def handler(event, context): ...\n")
    return repo


@pytest.fixture
def receipts(repo: Repo) -> Repo:
    """Two bases and two Lambda images, as in the scenarios: D, L from D, E from L, W from D."""
    repo.write(
        ".dockerignore",
        "**/tests\n**/docs\n*.md\n",
    )
    repo.write("README.md", "# the monorepo\n")
    for package, requires in (("receipt_dynamo", "boto3"), ("receipt_label", "pydantic")):
        repo.write(
            f"{package}/pyproject.toml",
            f'[project]\nname = "{package}"\nreadme = "README.md"\ndependencies = ["{requires}>=1"]\n',
        )
        repo.write(f"{package}/README.md", f"# {package}\n")
        repo.write(f"{package}/{package}/__init__.py", f'"""{package}"""\n')
        repo.write(f"{package}/{package}/tables.json", "{}\n")
        repo.write(f"{package}/tests/test_all.py", "def test_it(): ...\n")
        repo.write(f"{package}/docs/index.md", "# words\n")
    repo.write("embedding/handler.py", "import receipt_label\n\n\ndef handler(event, context): ...\n")
    repo.write("word_label/handler.py", "import receipt_dynamo\n\n\ndef handler(event, context): ...\n")
    install = (
        "COPY {0}/pyproject.toml {0}/README.md /src/{0}/",
        "RUN pip install -r /src/{0}/pyproject.toml",
        "COPY {0}/{0}/ /var/task/{0}/",
    )
    repo.image("base-receipt-dynamo", f"FROM {RUNTIME}", *(each.format("receipt_dynamo") for each in install))
    repo.image(
        "base-receipt-label",
        "FROM base-receipt-dynamo:stable",
        *(each.format("receipt_label") for each in install),
    )
    repo.image(
        "lambda-embedding",
        "ARG BASE_IMAGE=base-receipt-label:stable",
        "FROM ${BASE_IMAGE}",
        "COPY embedding/handler.py /var/task/",
        'CMD ["handler.handler"]',
    )
    repo.image(
        "lambda-word-label",
        "FROM base-receipt-dynamo",
        "COPY word_label/handler.py /var/task/",
        'CMD ["handler.handler"]',
    )
    return repo


@pytest.fixture
def shop(receipts: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """The images of `receipts`, locked, with a registry and a builder in memory."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    receipts.write(LOCK_FILE, Lock().with_pin(Pin(name=RUNTIME, digest=DIGEST)).render())
    registry = MemoryRegistry()
    return Shop(receipts, registry, Programs(registry))
