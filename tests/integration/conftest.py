"""Real things for integration tests: a private engine, and projects on which commands are run."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from buildkit import BuildKit, digest_of
from doubles.aws_front import AwsFront
from doubles.ecr import EcrDouble
from doubles.lambda_ import LambdaDouble
from doubles.served import PASSWORD, USER, Served, running_registry
from doubles.site import PAGES, running_site
from projects import Done, Repo, copy_sample, write_tiny
from xdist.scheduler import LoadFileScheduling

from lamina.process import SubprocessRunner
from lamina.sandbox import engine as sandbox
from lamina.sandbox import registry as sandbox_registry
from lamina.sandbox.runtime import REPOSITORY
from mutations import OLD_RUNTIME, RUNTIME, TOOL, World

ENGINE = f"tests-{os.environ.get('PYTEST_XDIST_WORKER', 'gw0')}"
"""The engine of this process: tests run in several at once, each with its own."""

# Started in the background of a script, this process ignores Ctrl-C, and so would what it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


SAMPLE = tuple(f"integration/test_{name}.py" for name in ("main_job", "docs", "smoke", "watch"))
"""Files whose tests need the built sample: one process runs them all, and begins with them."""


class ByFile(LoadFileScheduling):
    """One process for each file, and one for all files of the sample."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "the sample" if file.endswith(SAMPLE) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile | None:
    return ByFile(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.path.as_posix().endswith(SAMPLE))


def sampled(name: str, *, sample: Any, complete: Any) -> pytest.MarkDecorator:
    """Run a test on a sample of its cases, and in `nox -s nightly` on all."""
    values = pytest.param(sample, id="sample"), pytest.param(complete, id="all", marks=pytest.mark.nightly)
    return pytest.mark.parametrize(name, values)


@dataclass(frozen=True)
class TestEngine:
    """The engine of this test run. buildx: the words before ``bake``; it runs without a docker CLI."""

    __test__ = False

    host: str
    docker: str
    buildx: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        return {"DOCKER_HOST": self.host}

    def call(self, *words: str, check: bool = True) -> str:
        """``docker <words>``: its standard output."""
        done = subprocess.run(
            [self.docker, "--host", self.host, *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 or not check, f"docker {words}: {done.stderr}"
        return done.stdout

    def inspect(self, ref: str) -> dict[str, Any] | None:
        """An image, None when it is not there."""
        found = json.loads(self.call("image", "inspect", ref, check=False) or "[]")
        return dict(found[0]) if found else None

    def names(self) -> set[str]:
        """Every ``repository:tag`` in its store."""
        return set(self.call("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split())


@pytest.fixture(scope="session")
def engine() -> Iterator[TestEngine]:
    """A private engine of its own. Its caches stay for the next run; images and the engine do not."""
    runner = SubprocessRunner()
    running = sandbox.up(runner, name=ENGINE, say=print)
    made = TestEngine(host=running.host, docker=str(running.docker), buildx=(str(running.buildx),))
    yield made
    images = [name for name in made.names() if not name.startswith(REPOSITORY)]
    if images:
        made.call("image", "rm", "--force", *images, check=False)
    made.call("image", "prune", "--force", check=False)
    sandbox.down(runner, name=ENGINE)


@pytest.fixture
def empty_engine() -> Iterator[str]:
    """The name of an engine that is not running."""
    name = f"tests-empty-{os.getpid()}"
    yield name
    sandbox.down(SubprocessRunner(), name, purge=True)


@pytest.fixture
def registry() -> Iterator[str]:
    """The address of an empty registry without a password."""
    runner, name = SubprocessRunner(), f"tests-{os.getpid()}"
    yield sandbox_registry.up(runner, name=name, port=0, say=print).address
    sandbox_registry.down(runner, name, purge=True)


@pytest.fixture
def buildkit(tmp_path: Path, engine: TestEngine) -> BuildKit:
    """The builder of the tests' engine."""
    home = tmp_path / "buildkit"
    home.mkdir()
    return BuildKit(engine=engine, home=home)


@pytest.fixture
def world(buildkit: BuildKit, registry: str) -> Iterator[World]:
    """What the tree of the mutation table needs: images of a shell and a tool, and a site."""
    buildkit.push_outside(registry)
    python, python_later, old, tool, tool_later = (
        digest_of(f"{registry}/{name}") for name in (RUNTIME, "python:later", OLD_RUNTIME, TOOL, "uv:later")
    )
    first, second = (hashlib.sha256(page).hexdigest() for page in PAGES)
    with running_site() as site:
        yield World(
            registry=registry,
            digests={RUNTIME: (python, python_later), OLD_RUNTIME: (old, old), TOOL: (tool, tool_later)},
            site=site.url,
            sums=(first, second),
            move_asset=site.move,
        )


def _settings() -> dict[str, str]:
    """Settings with a new stack, in which no image of another test or run is found."""
    return {"LAMINA_ENGINE": ENGINE, "LAMINA_STACK": f"t{secrets.token_hex(4)}"}


@pytest.fixture
def repo(tmp_path: Path, engine: TestEngine) -> Repo:
    """An empty repository in which commands use the tests' engine. No secrets, no lock, no state."""
    root = tmp_path / "repo"
    root.mkdir()
    return Repo(root, _settings())


@pytest.fixture
def tiny(repo: Repo) -> Repo:
    """Two bases and a function on nothing at all: base-dynamo <- base-label <- lambda-tiny."""
    write_tiny(repo)
    return repo


@pytest.fixture(scope="session")
def first_build(tmp_path_factory: pytest.TempPathFactory, engine: TestEngine) -> tuple[Repo, Done]:
    """The sample monorepo after its first build, and the result of the command. Tests must not change it."""
    root = tmp_path_factory.mktemp("sample") / "repo"
    root.mkdir()
    copy_sample(root)
    repo = Repo(root, _settings())
    return repo, repo.ok("build-all", "--json")


@pytest.fixture
def sample(tmp_path: Path, first_build: tuple[Repo, Done]) -> Repo:
    """The sample monorepo, built before, in a folder of the test's own."""
    built, _ = first_build
    root = tmp_path / "repo"
    shutil.copytree(built.root, root, symlinks=True)
    return Repo(root, dict(built.env))


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A real registry with a password. Repositories carry the stack of the test that made them."""
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def lambdas(served: Served) -> LambdaDouble:
    """Lambda of that account, which finds the images of that registry."""
    return LambdaDouble(exists=served.has)


@pytest.fixture(scope="module")
def front(served: Served, lambdas: LambdaDouble) -> Iterator[AwsFront]:
    """An AWS account whose ECR is that registry."""
    ecr = EcrDouble(endpoint=f"http://{served.address}", user=USER, password=PASSWORD, storage=served.storage)
    with AwsFront(doubles=(ecr, lambdas)) as running:
        yield running


@pytest.fixture
def ecr(tiny: Repo, front: AwsFront, tmp_path: Path) -> Repo:
    """The tiny repository with that account's credentials; docker's configuration is empty."""
    none = str(tmp_path / "none")
    tiny.env |= front.environ(AWS_CONFIG_FILE=none, AWS_SHARED_CREDENTIALS_FILE=none)
    tiny.env["AWS_ACCESS_KEY_ID"] = f"testing-{secrets.token_hex(4)}"  # an identity without a token yet
    tiny.env["LAMINA_REGISTRY"] = "ecr"
    front.calls.clear()
    return tiny
