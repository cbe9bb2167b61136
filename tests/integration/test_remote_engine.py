"""An engine that is remote as far as the network goes: in a namespace, reached over TCP."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import TestEngine
from doubles import door
from projects import Repo, write_tiny

from lamina.process import Command, SubprocessRunner
from lamina.sandbox import engine as sandbox
from lamina.sandbox import namespace

pytestmark = pytest.mark.engine

ALL = ["base-dynamo", "base-label", "lambda-tiny"]


@dataclass(frozen=True)
class Far:
    """host: for DOCKER_HOST. bin: a folder for PATH with a docker that knows buildx by ``config``."""

    host: str
    bin: str
    config: str


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    """An engine in a network of its own, and the docker command that the private engines come with."""
    runner, name = SubprocessRunner(), f"tests-far-{os.getpid()}"
    space = namespace.up(runner, name, print)
    try:
        running = sandbox.up(runner, name=name, netns=space, say=print)
        listed = runner.run(
            Command(argv=("nsenter", f"--net=/var/run/netns/{space}", "ip", "-json", "-4", "address"))
        )
        (address,) = (
            each["local"]
            for link in json.loads(listed.stdout)
            if link["ifname"] == "eth0"
            for each in link["addr_info"]
        )
        home = tmp_path_factory.mktemp("docker")
        plugins = {"cliPluginsExtraDirs": [str(Path(running.buildx).parent)]}
        (home / "config.json").write_text(json.dumps(plugins))
        path = running.host.removeprefix("unix://")
        with door.opened(space, address, 2375, path) as host:
            yield Far(host=f"tcp://{host}", bin=str(Path(running.docker).parent), config=str(home))
    finally:
        sandbox.down(runner, name, purge=True)
        namespace.down(runner, name)


@pytest.fixture
def tiny_there(tmp_path: Path, far: Far) -> Repo:
    """The tiny project, whose commands use only the engine of DOCKER_HOST or a docker context."""
    root = tmp_path / "repo"
    root.mkdir()
    path = f"{far.bin}:{os.environ['PATH']}"
    repo = Repo(root, {"PATH": path, "DOCKER_CONFIG": far.config, "LAMINA_STACK": f"t{os.getpid()}"})
    write_tiny(repo)
    return repo


def test_docker_host_over_tcp(tiny_there: Repo, far: Far) -> None:
    tiny_there.env["DOCKER_HOST"] = far.host
    assert far.host in tiny_there.ok("engine.status").stdout

    first = tiny_there.ok("build-all", "--json")
    assert first.built == ALL
    tiny_there.append("src/handler.py", "# better\n")
    assert tiny_there.ok("build-all", "--json").built == ["lambda-tiny"]
    assert tiny_there.ok("plan", "--json").images() == dict.fromkeys(ALL, "skip")


def test_a_docker_context_and_its_builder(tiny_there: Repo, far: Far, engine: TestEngine) -> None:
    docker = Command(
        argv=(f"{far.bin}/docker", "context", "create", "far", f"--docker=host={far.host}"),
        env={"DOCKER_CONFIG": far.config},
    )
    assert SubprocessRunner().run(docker).ok
    assert far.host in tiny_there.ok("engine.status", env={"DOCKER_CONTEXT": "far"}).stdout
    told = tiny_there.fails(4, "build-all", "--builder", "far", env={"DOCKER_HOST": engine.host}).text

    assert "the builder 'far' is another engine, which keeps the images that it builds" in told
    assert "DOCKER_CONTEXT=far" in told
