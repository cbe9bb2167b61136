"""A lock that is exported as requirements is reported, and exported as a lock where nothing else reads it."""

from __future__ import annotations

import pytest

from uv_workspace import INSTALL, dockerfile, write_workspace

from ..conftest import Repo
from .conftest import look, mended

READ = "-r /tmp/requirements.txt\n"
UV = "RUN pip install uv==0.13.9"


@pytest.fixture
def workspace(repo: Repo) -> Repo:
    write_workspace(repo)
    repo.remove("dockerfiles/report")
    return repo


def change(repo: Repo, old: str, new: str) -> None:
    text = dockerfile("ingest", INSTALL)
    assert old in text
    repo.write("dockerfiles/ingest/Dockerfile", text.replace(old, new, 1))


def found(repo: Repo) -> list[str]:
    return [each.message for each in look(repo) if each.rule == "LAM120"]


def test_requirements_of_a_lock_become_a_lock(workspace: Repo) -> None:
    assert found(workspace) == ["uv asks the index for each package of requirements.txt again"]
    text = mended(workspace, "ingest")

    assert "--package ingest -o /tmp/pylock.toml && " in text
    assert " --preview-features=pylock " in text
    assert " -r /tmp/pylock.toml\n" in text
    assert "requirements.txt" not in text
    assert found(workspace) == []


def test_the_file_is_renamed_wherever_the_step_names_it(workspace: Repo) -> None:
    change(workspace, READ, "-r /tmp/requirements.txt && rm /tmp/requirements.txt\n")

    assert "-r /tmp/pylock.toml && rm /tmp/pylock.toml\n" in mended(workspace, "ingest")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (READ, f"{READ}RUN cat /tmp/requirements.txt\n"),
        (READ, "-r /tmp/requirements.txt && ls /tmp/requirements.*\n"),
        ("--package ingest", "--format requirements.txt --package ingest"),
    ],
)
def test_a_file_that_something_else_may_read_keeps_its_name(workspace: Repo, old: str, new: str) -> None:
    change(workspace, old, new)

    assert len(found(workspace)) == 1
    assert "-o /tmp/requirements.txt" in mended(workspace, "ingest")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-o /tmp/requirements.txt", "-o /tmp/pylock.toml"),
        ("--package ingest", "--format pylock.toml --package ingest"),
        (READ, "-r /tmp/requirements.txt iniconfig\n"),
        (READ, "-r /tmp/requirements.txt -r more.txt\n"),
        (READ, "--index-url https://example.invalid/simple -r /tmp/requirements.txt\n"),
        (UV, f"ENV UV_DEFAULT_INDEX=https://example.invalid/simple\n{UV}"),
        (UV, f"ARG UV_INDEX_URL\n{UV}"),
        (UV, "RUN pip install uv==0.8.24"),
        ("uv pip install", "pip install"),
    ],
)
def test_not_with_another_index_more_requirements_or_an_older_uv(workspace: Repo, old: str, new: str) -> None:
    change(workspace, old, new)

    assert found(workspace) == []
