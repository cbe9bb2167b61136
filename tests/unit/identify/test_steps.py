from __future__ import annotations

import pytest

from lamina.identify.steps import steps_digest

from ..conftest import RUNTIME, Repo

DOCKERFILE = (
    "ARG VERSION=1",
    f"FROM {RUNTIME} AS deps",
    "ARG VERSION",
    "RUN --mount=type=bind,source=pkg/pyproject.toml,target=/p.toml install",
    "COPY lib/*.txt /rootfs/",
    "FROM base:stable",
    "COPY --link --from=deps /rootfs/ /",
    "COPY --link pkg/src/ /var/task/",
    'CMD ["handler.handler"]',
)


@pytest.fixture
def project(repo: Repo) -> Repo:
    """An image based on a project image, with an install that reads its own input."""
    repo.image("base", f"FROM {RUNTIME}", "COPY --link common.py /var/task/")
    repo.image("app", *DOCKERFILE)
    repo.write("common.py", "")
    repo.write("pkg/pyproject.toml", "[project]\n")
    repo.write("pkg/src/handler.py", "def handler(event, context): ...\n")
    repo.write("lib/names.txt", "a\n")
    return repo


def digest(repo: Repo, mode: str = "max") -> str:
    return steps_digest(repo.images()["app"], mode)


@pytest.mark.parametrize("path", ["pkg/src/handler.py", "common.py"])
def test_a_file_that_is_only_put_on_top_does_not_count(project: Repo, path: str) -> None:
    before = digest(project)
    project.write(path, "CHANGED = True\n")

    assert digest(project) == before


@pytest.mark.parametrize("path", ["pkg/pyproject.toml", "lib/names.txt", "lib/more.txt"])
def test_a_file_that_a_step_reads_counts(project: Repo, path: str) -> None:
    before = digest(project)
    project.write(path, "# changed\n")

    assert digest(project) != before


def test_instructions_bases_and_the_mode_count(project: Repo) -> None:
    before = digest(project)
    assert digest(project, "min") != before
    project.image("app", *(line.replace(" install", " install --all") for line in DOCKERFILE))

    assert digest(project) != before


def test_a_base_on_which_something_runs_counts(project: Repo) -> None:
    project.image("app", *DOCKERFILE, "RUN touch /done")
    before = digest(project)
    project.write("common.py", "CHANGED = True\n")

    assert digest(project) != before
