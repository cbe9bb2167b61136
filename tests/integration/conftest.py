"""Real things for integration tests: a private engine, and projects on which commands are run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lamina.process import SubprocessRunner
from lamina.sandbox import engine as sandbox

ROOT = Path(__file__).parents[2]
ENGINE = "tests"


@dataclass(frozen=True)
class TestEngine:
    """The engine of this test run. buildx: what to put before ``bake``; it runs without a docker CLI."""

    __test__ = False

    host: str
    docker: str
    buildx: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        return {"DOCKER_HOST": self.host}


@pytest.fixture(scope="session")
def engine() -> Iterator[TestEngine]:
    """A private engine of its own. Its caches stay for the next run; the engine itself does not."""
    runner = SubprocessRunner()
    running = sandbox.up(runner, name=ENGINE, say=print)
    yield TestEngine(host=running.host, docker=str(running.docker), buildx=(str(running.buildx),))
    sandbox.down(runner, name=ENGINE)


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.stdout)
        return found

    def images(self, key: str = "action") -> dict[str, Any]:
        """Image -> one of its fields, from a JSON report."""
        return {each["name"]: each[key] for each in self.json["images"]}


@dataclass
class Repo:
    """A repository to run commands in, as a user would."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)

    def run(self, *words: str, env: dict[str, str] | None = None, timeout: float = 900) -> Done:
        """``lamina <words>``; nothing of the caller's docker or Lamina settings gets through."""
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DOCKER_", "BUILDX_", "BUILDKIT_", "USE_STATIC", "AWS_ACCESS", "AWS_SE"))
            and (not name.startswith("LAMINA_") or name == "LAMINA_CACHE")
        }
        done = subprocess.run(
            [sys.executable, "-m", "lamina", *words],
            cwd=self.root,
            env={**clean, **self.env, **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Done(code=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def ok(self, *words: str, env: dict[str, str] | None = None) -> Done:
        """A command that must succeed."""
        done = self.run(*words, env=env)
        assert done.code == 0, f"{words} ended with {done.code}\n{done.stdout}\n{done.stderr}"
        return done

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def append(self, path: str, text: str) -> None:
        with (self.root / path).open("a") as file:
            file.write(text)


@pytest.fixture
def repo(tmp_path: Path, engine: TestEngine) -> Repo:
    """An empty repository in which commands use the tests' engine. No secrets, no lock, no state."""
    root = tmp_path / "repo"
    root.mkdir()
    return Repo(root, {"LAMINA_ENGINE": ENGINE})


def copy_sample(target: Path) -> None:
    """This project's own images and their source, as a repository of its own."""
    keep = shutil.ignore_patterns("__pycache__", ".lamina", "*.pyc")
    for folder in ("dockerfiles", "receipts"):
        shutil.copytree(ROOT / folder, target / folder, ignore=keep)
    shutil.copy(ROOT / "pyproject.toml", target / "pyproject.toml")


@pytest.fixture
def sample(repo: Repo) -> Repo:
    """The sample monorepo, in a folder of its own."""
    copy_sample(repo.root)
    return repo
