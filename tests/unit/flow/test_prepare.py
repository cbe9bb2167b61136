from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from lamina.errors import BuildError, SelectionError
from lamina.flow.flags import Flags
from lamina.flow.prepare import prepare
from lamina.flow.session import Session
from lamina.process import Command, Completed
from lamina.report.console import Screen

from ..conftest import RUNTIME, Repo, ScriptedRunner


@dataclass(slots=True)
class Shell(ScriptedRunner):
    """Notes what it runs."""

    ran: list[Command] = field(default_factory=list)

    def run(self, command: Command, *, timeout: float | None = None) -> Completed:
        self.ran.append(command)
        return ScriptedRunner.run(self, command, timeout=timeout)


@pytest.fixture
def web(repo: Repo) -> Repo:
    repo.image("base", f"FROM {RUNTIME}")
    repo.image("web", "FROM base", "COPY build/app.js /")
    repo.image("api", "FROM base")
    repo.config(
        '[tool.lamina.images.base]\nbefore = "make wheels"\n'
        '[tool.lamina.images.web]\nbefore = "npm run build"\n'
        '[tool.lamina.images.api]\nbefore = "make wheels"\n'
    )
    return repo


def ran(repo: Repo, *images: str, asked: bool = True, code: int = 0) -> list[str]:
    runner = Shell([(("sh", "-c"), Completed(code=code)) for _ in range(3)])
    session = Session(Flags(images=images, prepare=asked), Screen(env={}), runner=runner, root=repo.root)
    prepare(session)
    assert {each.cwd for each in runner.ran} <= {repo.root}
    return [each.argv[2].removeprefix("exec 1>&2\n") for each in runner.ran]


def test_commands_of_images_and_their_bases_run_once_bases_first(web: Repo) -> None:
    assert ran(web) == ["make wheels", "npm run build"]
    assert ran(web, "api") == ["make wheels"]


def test_nothing_runs_unless_asked_for(web: Repo) -> None:
    assert ran(web, asked=False) == []


def test_a_command_that_fails_ends_the_run(web: Repo) -> None:
    with pytest.raises(BuildError, match=r"before base failed with exit code 2: make wheels") as caught:
        ran(web, code=2)

    assert caught.value.exit_code == 1
    assert caught.value.problems[0].where == "pyproject.toml:1"


def test_an_unknown_image_runs_nothing(web: Repo) -> None:
    with pytest.raises(SelectionError):
        ran(web, "nosuch")


def test_a_missing_source_names_the_command(web: Repo) -> None:
    (fault,) = web.faults()

    assert "COPY build/app.js: there is no such file in the context" in fault
    assert "next: run this command with --prepare, which first runs: npm run build" in fault


@pytest.mark.parametrize("source", ["dist/*.whl", "requirements.txt", "api/requirements-prod.txt"])
def test_a_source_that_a_tool_makes_names_the_setting(repo: Repo, source: str) -> None:
    repo.image("api", f"FROM {RUNTIME}", f"COPY {source} /")
    (fault,) = repo.faults()

    assert 'set before = "<the command that makes it>" in [tool.lamina.images.api]' in fault
