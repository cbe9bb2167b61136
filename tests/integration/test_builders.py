"""A push on several real BuildKits: who builds what, and what becomes of it when one ends."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import TestEngine
from projects import Repo, wait_for

from bench import buildkit_port
from lamina.process import SubprocessRunner
from lamina.sandbox import engine as sandbox
from lamina.sandbox import namespace

pytestmark = [pytest.mark.engine, pytest.mark.nightly]

NODES = ("one", "two", "three")
FUNCTIONS = tuple(f"lambda-{number}" for number in range(6))
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass
class Node:
    """A BuildKit on a port. port: the process behind it; name: of its engine."""

    name: str
    port: subprocess.Popen[str]

    def kill(self) -> None:
        """Kill the port and the engine."""
        self.port.kill()
        sandbox.down(SubprocessRunner(), self.name)


@dataclass
class Farm:
    """BuildKits by the names of their builders, which ``config`` knows (for DOCKER_CONFIG)."""

    config: str
    nodes: dict[str, Node] = field(default_factory=dict)


@pytest.fixture
def farm(tmp_path: Path, engine: TestEngine) -> Iterator[Farm]:
    runner = SubprocessRunner()
    made = Farm(config=str(tmp_path / "farm"))
    with ExitStack() as ends:
        for name in NODES:
            own = f"tests-{name}-{os.getpid()}"
            running = sandbox.up(runner, name=own, say=print)
            ends.callback(sandbox.down, runner, own, purge=True)
            address, port = ends.enter_context(buildkit_port.opened(running.host.removeprefix("unix://")))
            made.nodes[name] = Node(name=own, port=port)
            create(engine, made, name, address)
        yield made


def create(engine: TestEngine, farm: Farm, name: str, address: str, *more: str) -> None:
    """Make a builder, and wait until its BuildKit answers: a new engine takes its time for the first call."""
    env = {**os.environ, **engine.environment, "DOCKER_CONFIG": farm.config}
    made = (*engine.buildx, "create", "--name", name, *more, "--driver", "remote", address)
    for words in (made, (*engine.buildx, "inspect", "--bootstrap", name)):
        subprocess.run(words, env=env, capture_output=True, check=True)


@pytest.fixture
def apart(engine: TestEngine, farm: Farm) -> Iterator[str]:
    """The builder of a BuildKit in a network of its own, which does not reach ports of this machine."""
    runner, own = SubprocessRunner(), f"tests-apart-{os.getpid()}"
    with ExitStack() as ends:
        ends.callback(namespace.down, runner, own)
        network = namespace.up(runner, own, print)
        ends.callback(sandbox.down, runner, own, purge=True)
        running = sandbox.up(runner, name=own, netns=network, say=print)
        address, _ = ends.enter_context(buildkit_port.opened(running.host.removeprefix("unix://")))
        create(engine, farm, "apart", address)
        yield "apart"


@pytest.fixture
def spread(repo: Repo, farm: Farm, registry: str) -> Repo:
    """Six functions on a base that has a shell and nothing else; each waits a while."""
    for program in ("/bin/sh", "/bin/sleep"):
        libraries = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        for file in (program, *re.findall(r"/\S+", libraries)):
            target = repo.root / "shell" / file.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    repo.write("dockerfiles/base-shell/Dockerfile", "FROM scratch\nCOPY shell /\n")
    for name in FUNCTIONS:
        repo.write(f"{name}.txt", f"{name}\n")
        repo.write(
            f"dockerfiles/{name}/Dockerfile",
            f"FROM base-shell\nRUN sleep 7.0{name[-1]}\nCOPY --link {name}.txt /file\n",
        )
    repo.env |= {"DOCKER_CONFIG": farm.config, "LAMINA_REGISTRY": registry}
    return repo


PUSH = ("build-all", "--push", "--create", "--json", *(f"--builder={name}" for name in NODES))


def command_lines() -> Iterator[bytes]:
    """The command lines of all processes; words end in a zero byte."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield (folder / "cmdline").read_bytes()


def builds_on(name: str) -> bool:
    """Whether a call of bake runs on a builder."""
    option = f"\0--builder={name}\0".encode()
    return any(option in line and b"/bake-" in line for line in command_lines())


def file_of(registry: str, ref: str) -> str:
    """The content of /file in an image of the registry."""
    repository, _, digest = ref.removeprefix(f"{registry}/").partition("@")

    def get(path: str) -> bytes:
        asked = urllib.request.Request(f"http://{registry}/v2/{repository.partition(':')[0]}/{path}")
        asked.add_header("Accept", MANIFEST)
        with urllib.request.urlopen(asked) as answer:
            return bytes(answer.read())

    last = json.loads(get(f"manifests/{digest}"))["layers"][-1]
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(get(f"blobs/{last['digest']}")))) as layer:
        found = layer.extractfile("file")
        assert found
        return found.read().decode()


def test_a_builder_that_dies_in_the_middle_costs_no_image(spread: Repo, farm: Farm) -> None:
    with spread.running(*PUSH) as child:
        wait_for("a build on the third builder", lambda: builds_on("three") or child.poll() is not None)
        farm.nodes["three"].kill()
        out, err = child.communicate(timeout=300)
    assert child.returncode == 0, out + err
    report = json.loads(out)

    images = {each["name"]: each for each in report["images"]}
    assert {each["action"] for each in images.values()} == {"built"}
    assert {each["builder"] for each in images.values()} <= {"one", "two"}
    told = [each["text"] for each in report["messages"]]
    assert any("the builder three (tcp://127.0.0.1:" in each for each in told), told
    for name in FUNCTIONS:
        assert file_of(spread.env["LAMINA_REGISTRY"], images[name]["ref"]) == f"{name}\n"

    busy = {each["name"]: each["images"] for each in spread.ok("report", "--json").json["builders"]}
    assert sorted(name for names in busy.values() for name in names) == sorted(images)
    assert spread.ok(*PUSH).built == []


def test_a_killed_run_leaves_no_builder_at_work(spread: Repo, farm: Farm) -> None:
    def sleeping() -> bool:
        return any(line.startswith(b"sleep\x00307.0") for line in command_lines())

    for name in FUNCTIONS:
        spread.replace(f"dockerfiles/{name}/Dockerfile", "sleep 7.0", "sleep 307.0")
    with spread.running(*PUSH) as child:
        wait_for("a step that runs", sleeping, seconds=120)
        child.send_signal(signal.SIGKILL)
        child.wait()
    wait_for("the end of all calls", lambda: not any(builds_on(name) for name in NODES), seconds=20)
    wait_for("the end of all steps", lambda: not sleeping(), seconds=20)


def test_what_is_wrong_with_builders_is_reported_before_anything_is_built(
    spread: Repo, farm: Farm, engine: TestEngine
) -> None:
    nodes = farm.nodes
    assert "there is no builder 'four'" in spread.fails(4, *PUSH, "--builder=four").text
    assert "'one' is named twice" in spread.fails(2, *PUSH, "--builder=one").text

    address = f"tcp://127.0.0.1:{port_of(engine, farm, 'one')}"
    create(engine, farm, "again", address)
    assert "are one BuildKit" in spread.fails(4, *PUSH, "--builder=again").text

    for node in nodes.values():
        node.port.kill()
    silent = spread.fails(4, *PUSH).text
    assert all(f"the builder {name} (tcp://127.0.0.1:" in silent for name in nodes), silent
    assert not list((spread.root / ".lamina/runs").glob("*/bake-*.json"))


def test_a_builder_that_does_not_reach_the_registry_is_named_before_anything_is_built(
    spread: Repo, apart: str
) -> None:
    refused = spread.fails(5, *PUSH, f"--builder={apart}").text
    assert f"the builder {apart} (tcp://127.0.0.1:" in refused
    assert f"cannot push to {spread.env['LAMINA_REGISTRY']}/" in refused
    assert not any(f"the builder {name} " in refused for name in NODES), refused
    assert not list((spread.root / ".lamina/runs").glob("*/bake-*.json"))


def port_of(engine: TestEngine, farm: Farm, name: str) -> str:
    instance = json.loads((Path(farm.config) / "buildx/instances" / name).read_text())
    return str(instance["Nodes"][0]["Endpoint"]).rpartition(":")[2]


def test_a_builder_of_several_nodes_is_as_many_builders(spread: Repo, farm: Farm, engine: TestEngine) -> None:
    create(engine, farm, "both", f"tcp://127.0.0.1:{port_of(engine, farm, 'one')}")
    create(engine, farm, "both", f"tcp://127.0.0.1:{port_of(engine, farm, 'two')}", "--append")
    done = spread.ok("build-all", "--push", "--create", "--json", "--builder=both")
    assert set(done.images("builder").values()) <= {"both-both0", "both-both1"}
