"""Real things for integration tests: a private engine, and projects on which commands are run."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import urlsplit

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

KEPT = "kept-for-the-next-run"
"""The repositories of the sample's images, whose layers would otherwise be compressed in each run."""
_HUB = "docker.io/"

# Started in the background of a script, this process ignores Ctrl-C, and so would what it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


SAMPLE = ("main_job", "docs", "smoke", "watch")
"""Files whose tests need the built sample: one process runs them all."""
SLOW = (
    *SAMPLE,
    "codebuild",
    "sandbox",
    "registry_flow",
    "ecr",
    "failures",
    "stall",
    "deploy",
    "audit",
    "lock",
)
"""Files that take longest, in this order: last, they would keep one process busy while others have ended."""


def _name(path: str) -> str:
    return PurePath(path).stem.removeprefix("test_")


class ByFile(LoadFileScheduling):
    """One process for each file, and one for all files of the sample."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "the sample" if _name(file) in SAMPLE else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile | None:
    return ByFile(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {name: rank for rank, name in enumerate(SLOW)}
    items.sort(key=lambda item: ranks.get(_name(item.path.name), len(SLOW)))


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

    def remove_images(self, *, keep: tuple[str, ...]) -> None:
        """Remove all images but those of some repositories.

        By containerd, which collects garbage once; docker does after each image.
        """
        socket = Path(urlsplit(self.host).path).with_name("exec") / "containerd/containerd.sock"
        images = (
            str(Path(self.docker).with_name("ctr")),
            f"--address={socket}",
            "--namespace=moby",
            "images",
        )
        listed = subprocess.run([*images, "ls", "--quiet"], capture_output=True, text=True, check=True)
        names = [each for each in listed.stdout.split() if not each.removeprefix(_HUB).startswith(keep)]
        if names:
            subprocess.run([*images, "rm", "--sync", *names], stdout=subprocess.DEVNULL, check=True)


@pytest.fixture(scope="session")
def engine() -> Iterator[TestEngine]:
    """A private engine of its own. Its caches stay for the next run; the engine and most images do not."""
    runner = SubprocessRunner()
    running = sandbox.up(runner, name=ENGINE, say=print)
    made = TestEngine(host=running.host, docker=str(running.docker), buildx=(str(running.buildx),))
    yield made
    made.remove_images(keep=(REPOSITORY, KEPT))
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


def new_repo(folder: Path) -> Repo:
    """An empty repository with a new stack, in which no image of another test or run is found."""
    root = folder / "repo"
    root.mkdir()
    return Repo(root, {"LAMINA_ENGINE": ENGINE, "LAMINA_STACK": f"t{secrets.token_hex(4)}"})


@pytest.fixture
def repo(tmp_path: Path, engine: TestEngine) -> Repo:
    """An empty repository in which commands use the tests' engine. No secrets, no lock, no state."""
    return new_repo(tmp_path)


@pytest.fixture
def tiny(repo: Repo) -> Repo:
    """Two bases and a function on nothing at all: base-dynamo <- base-label <- lambda-tiny."""
    write_tiny(repo)
    return repo


@pytest.fixture(scope="session")
def first_build(tmp_path_factory: pytest.TempPathFactory, engine: TestEngine) -> tuple[Repo, Done]:
    """The sample monorepo after its first build, and the result of the command. Tests must not change it."""
    repo = new_repo(tmp_path_factory.mktemp("sample"))
    copy_sample(repo.root)
    done = repo.ok("build-all", "--json")
    for name, ref in done.images("ref").items():
        engine.call("tag", ref.partition("@")[0], f"{KEPT}/{name}")
    return repo, done


@pytest.fixture
def sample(tmp_path: Path, first_build: tuple[Repo, Done]) -> Repo:
    """The sample monorepo, built before, in a folder of the test's own."""
    return first_build[0].copy(tmp_path / "repo")


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
def images(served: Served) -> EcrDouble:
    """ECR of that account, whose images are in that registry."""
    return EcrDouble(
        endpoint=f"http://{served.address}", user=USER, password=PASSWORD, storage=served.storage
    )


@pytest.fixture(scope="module")
def front(served: Served, images: EcrDouble, lambdas: LambdaDouble) -> Iterator[AwsFront]:
    """An AWS account whose ECR is that registry."""
    with AwsFront(doubles=(images, lambdas)) as running:
        yield running


@pytest.fixture
def ecr(tiny: Repo, front: AwsFront) -> Repo:
    """The tiny repository with that account's credentials; docker's configuration is empty."""
    return use_account(tiny, front)


def use_account(repo: Repo, front: AwsFront) -> Repo:
    """Let a repository push to an account, as an identity without a token yet."""
    none = str(repo.root.parent / "none")
    repo.env |= front.environ(AWS_CONFIG_FILE=none, AWS_SHARED_CREDENTIALS_FILE=none)
    repo.env["AWS_ACCESS_KEY_ID"] = f"testing-{secrets.token_hex(4)}"
    repo.env["LAMINA_REGISTRY"] = "ecr"
    front.calls.clear()
    return repo
