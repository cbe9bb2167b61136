"""lamina.toml: the configuration of a repository without a pyproject.toml."""

from __future__ import annotations

import pytest

from lamina.declare.config import find_root
from lamina.errors import ConfigError

from ..conftest import Repo


def test_its_tables_are_those_of_pyproject_without_a_prefix(repo: Repo) -> None:
    repo.write("web/Dockerfile", "FROM scratch\n")
    repo.write("lamina.toml", 'stack = "prod"\n\n[images.web]\ndockerfile = "web/Dockerfile"\n')
    repo.write("pyproject.toml", "[project]\nname = 'shop'\n")

    project = repo.project()

    assert (project.settings.stack, project.settings.source("stack")) == ("prod", "lamina.toml:1")
    assert project.images["web"].source == "lamina.toml:3"
    assert find_root(repo.root / "web") == repo.root


def test_faults_have_the_names_that_it_uses(repo: Repo) -> None:
    repo.write("lamina.toml", "[images.web]\ndockerfil = 1\n")

    with pytest.raises(ConfigError, match=r"lamina\.toml:2: unknown key images\.web\.dockerfil"):
        repo.project()


@pytest.mark.parametrize(
    ("pyproject", "own", "message"),
    [
        ("[tool.lamina]\n", "", r"two configurations: lamina\.toml, and tool\.lamina in pyproject\.toml"),
        (
            "[tool.lamina.images.a]\n",
            "",
            r"two configurations: lamina\.toml, and tool\.lamina in pyproject\.toml",
        ),
        ("", "[tool.lamina]\n", r"tool\.lamina in lamina\.toml(?s:.)*next: .* \[images\.<name>\]"),
        ("", "stack = \n", r"lamina\.toml:1: not valid TOML"),
    ],
)
def test_two_configurations_and_others_tables_are_errors(
    repo: Repo, pyproject: str, own: str, message: str
) -> None:
    repo.write("pyproject.toml", pyproject)
    repo.write("lamina.toml", own)

    with pytest.raises(ConfigError, match=message):
        repo.project()
