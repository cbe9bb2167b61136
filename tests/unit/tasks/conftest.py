"""Commands on a repository, as from the command line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.tasks import program

from ..conftest import Repo

Command = Callable[..., int]


@pytest.fixture
def lamina(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command in the repository; returns its exit code."""
    monkeypatch.chdir(repo.root)
    for name in [each for each in os.environ if each.startswith("LAMINA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LAMINA_CACHE", str(tmp_path / "cache"))

    def run(*words: str) -> int:
        return program.run(words)

    return run
