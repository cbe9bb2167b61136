"""A copied lock of uv is reported, and mounted where that changes nothing else."""

from __future__ import annotations

import pytest

from uv_workspace import write_workspace

from ..conftest import RUNTIME, Repo
from .conftest import look, mended

COPYING = (
    f"FROM {RUNTIME} AS deps",
    "WORKDIR /src",
    "COPY pyproject.toml uv.lock ./",
    "COPY functions/ingest/pyproject.toml functions/ingest/",
    "RUN uv export --frozen --package ingest --no-emit-workspace -o /tmp/r.txt && \\",
    "    uv pip install --target /deps -r /tmp/r.txt",
    f"FROM {RUNTIME}",
    "COPY --link --from=deps /deps/ /var/task/",
    "COPY --link functions/ingest/handler.py /var/task/",
    'CMD ["handler.handler"]',
)


@pytest.fixture
def workspace(repo: Repo) -> Repo:
    write_workspace(repo)
    for member in ("ingest", "report"):
        repo.remove(f"dockerfiles/{member}")
    return repo


def copying(repo: Repo, old: str = "", new: str = "") -> None:
    lines = "\n".join(COPYING)
    assert old in lines
    repo.image("app", lines.replace(old, new, 1), ignore=["*.log"])


def found(repo: Repo) -> list[str]:
    return [each.message for each in look(repo) if each.rule == "LAM113"]


def test_a_copied_lock_is_mounted(workspace: Repo) -> None:
    copying(workspace)

    assert found(workspace) == [
        "uv.lock is copied in line 3: every edit of it installs everything again, also one for other images"
    ]
    text = mended(workspace)

    mounts = [line.partition("source=")[2].partition(",")[0] for line in text.splitlines() if "bind" in line]
    assert mounts == ["uv.lock", "functions/ingest/pyproject.toml", "pyproject.toml"]
    assert "COPY pyproject.toml" not in text
    assert "COPY functions" not in text
    assert found(workspace) == []


def test_then_a_line_for_another_image_rebuilds_nothing(workspace: Repo) -> None:
    copying(workspace)
    mended(workspace)
    before = workspace.fingerprints()

    workspace.edit("uv.lock", "httpx-0", "httpx_0")

    assert workspace.fingerprints() == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("COPY pyproject.toml uv.lock ./", "COPY pyproject.toml uv.lock functions/ingest/handler.py ./"),
        ("--from=deps /deps/", "--from=deps /"),
        ("--from=deps /deps/", "--from=deps /src/"),
        (f"FROM {RUNTIME}\nCOPY", "FROM deps\nCOPY"),
        ("-r /tmp/r.txt\n", "-r /tmp/r.txt\nRUN python3 tool.py\n"),
    ],
)
def test_a_lock_that_something_else_may_see_stays(workspace: Repo, old: str, new: str) -> None:
    copying(workspace, old, new)

    assert len(found(workspace)) == 1
    assert "COPY pyproject.toml uv.lock" in mended(workspace)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("--frozen", "--locked"),
        ("--package ingest", "--all-packages"),
        ("uv export", "python3 tool.py && uv export"),
        ("uv.lock ./", "uv.lock other/"),
        ("COPY pyproject.toml uv.lock ./", "COPY . ./"),
    ],
)
def test_a_lock_of_which_everything_counts_is_not_reported(workspace: Repo, old: str, new: str) -> None:
    copying(workspace, old, new)

    assert found(workspace) == []
