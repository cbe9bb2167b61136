"""Repositories without configuration: ``init`` adds it, the first build builds all, the second nothing."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest
from conftest import TestEngine
from projects import ROOT, Repo

pytestmark = pytest.mark.engine

LAYOUTS = {
    "layout-sam": {"ingest": ["/var/task/app.py"], "notify": ["/var/task/app.py"]},
    "layout-shared": {
        "shared-base": ["/var/task/shared/__init__.py"],
        "receipts-worker": [
            *("/var/task/jobs/__init__.py", "/var/task/jobs/label.py", "/var/task/jobs/resize.py"),
            *("/var/task/jobs/thumbnail.py", "/var/task/shared/__init__.py"),
        ],
    },
    "seed-monorepo": {"base-receipt-dynamo": [], "base-receipt-label": [], "embed": [], "label": []},
}
"""Layout -> its images, bases first, and their files if they are built FROM scratch."""


@pytest.mark.parametrize(
    "layout", ["layout-sam", "layout-shared", pytest.param("seed-monorepo", marks=pytest.mark.nightly)]
)
def test_a_foreign_repository_is_built_after_init(
    repo: Repo, engine: TestEngine, tmp_path: Path, layout: str
) -> None:
    shutil.copytree(ROOT / "tests/data" / layout, repo.root, dirs_exist_ok=True)
    config = repo.root / "pyproject.toml"
    if (
        layout == "seed-monorepo"
    ):  # as it was before anybody named its images; the machine's certificate stays
        head, _, tail = config.read_text().partition("[tool.lamina.images]")
        config.write_text(head + tail[tail.index("[tool.lamina.secrets]") :])
    images = LAYOUTS[layout]

    assert set(repo.ok("init", "--write", "--json").images("dockerfile")) == set(images)
    assert repo.ok("ignore", "--write", "--json").json["written"]
    plan = repo.ok("plan", "--json")
    assert plan.images() == dict.fromkeys(images, "build")

    built = repo.ok("build-all", "--json")

    assert sorted(built.built) == sorted(images)
    assert repo.ok("build-all", "--json").built == []
    for name, files in images.items():
        if files:
            assert contents(engine, built.images("ref")[name], tmp_path) == files


def contents(engine: TestEngine, ref: str, folder: Path) -> list[str]:
    """The files below /var/task of an image, whatever it is for: nothing is run."""
    image = engine.inspect(ref.partition("@")[0])
    assert image is not None
    platform = f"{image['Os']}/{image['Architecture']}"
    container = engine.call("create", "--platform", platform, ref.partition("@")[0], "none").strip()
    engine.call("export", "--output", str(folder / "image.tar"), container)
    engine.call("rm", container)
    with tarfile.open(folder / "image.tar") as archive:
        return sorted(
            f"/{each.name}" for each in archive if each.isfile() and each.name.startswith("var/task/")
        )


def test_finished_steps_move_the_phases_on(tiny: Repo) -> None:
    def states() -> dict[str, str]:
        return {each["name"]: each["state"] for each in tiny.ok("phases", "--json").json["checks"]}

    tiny.commit()
    before = states()
    assert (before["lint"], before["ignore"], before["BuildKit"]) == ("done", "not yet", "done")
    assert {before[name] for name in ("build-base", "build-lambda", "tag", "static")} == {"not yet"}

    tiny.ok("ignore", "--write")
    tiny.commit()
    done = tiny.ok("phase2")
    assert "tagged with the revision: base-dynamo, base-label" in done.stdout
    tiny.ok("tag", "--apply")
    tiny.ok("stable")

    assert states() == {
        **dict.fromkeys(("lint", "ignore", "BuildKit", "pull", "build-base", "tag", "build-lambda"), "done"),
        **dict.fromkeys(("static", "linked stages"), "done"),
        **dict.fromkeys(("login", "remote cache"), "not applicable"),
        "remote build": "not yet",
    }
