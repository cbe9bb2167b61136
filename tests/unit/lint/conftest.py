from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from lamina.flow.flags import Flags
from lamina.flow.session import Session
from lamina.identify.tree import DiskFiles
from lamina.lint.findings import Finding
from lamina.lint.read import Surveyor
from lamina.lint.registry import ALL_RULES, RuleSelection, lint
from lamina.lint.run import Linted, fix_images
from lamina.report.console import Screen

from ..conftest import RUNTIME, Repo

Seconds = Callable[[str, str], float | None]


def look(
    repo: Repo,
    seconds_of: Seconds = lambda _image, _instruction: None,
    *,
    images: tuple[str, ...] | None = None,
) -> tuple[Finding, ...]:
    """Return all findings of a repository."""
    return lint(Surveyor(DiskFiles, seconds_of).survey(repo.project()), images)


def mend(
    repo: Repo, rules: RuleSelection = ALL_RULES, *, dry_run: bool = False, images: tuple[str, ...] = ()
) -> Linted:
    """Run ``invoke lint --fix``."""
    session = Session(Flags(images=images, platform="linux/amd64"), Screen(env={}), root=repo.root)
    return fix_images(session, rules, dry_run=dry_run)


def mended(repo: Repo, image: str = "app") -> str:
    """Return the Dockerfile of an image after ``--fix``; a second run must change nothing."""
    mend(repo)
    file = repo.root / f"dockerfiles/{image}/Dockerfile"
    text = file.read_bytes()
    assert mend(repo).rewrites == ()
    assert file.read_bytes() == text
    return text.decode()


def write(repo: Repo, files: Mapping[str, str], *lines: str) -> None:
    """Write the image ``app`` on the runtime, with its files; all of the context is included."""
    for path, content in files.items():
        repo.write(path, content)
    head = () if any(line.upper().startswith("FROM") for line in lines) else (f"FROM {RUNTIME}",)
    repo.image("app", *head, *lines, ignore=["*.log"])


@pytest.fixture
def packages(repo: Repo) -> Repo:
    """Two local packages, label requires dynamo, and a base that installs dynamo from source."""
    for name, requires in (("dynamo", '"iniconfig>=2"'), ("label", '"dynamo", "tabulate>=0.9"')):
        repo.write(
            f"{name}/pyproject.toml",
            f'[project]\nname = "{name}"\nversion = "1"\ndependencies = [{requires}]\n',
        )
        repo.write(f"{name}/{name}/__init__.py", f"NAME = '{name}'\n")
    repo.write("src/handler.py", "def handler(event, context): ...\n")
    repo.image(
        "base-dynamo",
        f"FROM {RUNTIME}",
        "COPY dynamo/ /tmp/dynamo/",
        "RUN pip install /tmp/dynamo && rm -rf /tmp/dynamo",
        ignore=["*.log"],
    )
    return repo


@pytest.fixture
def root() -> Path:
    """This repository."""
    return Path(__file__).parents[3]
