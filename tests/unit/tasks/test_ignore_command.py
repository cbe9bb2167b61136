"""`lamina ignore` from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ..conftest import Repo
from .conftest import Command

ROOT = Path(__file__).parents[3]
OWN = "dockerfiles/app/Dockerfile.dockerignore"
Capture = pytest.CaptureFixture[str]


def test_a_written_file_passes_the_check(app: Repo, lamina: Command, capsys: Capture) -> None:
    app.write("data/dump.bin", b"x" * 2_000_000)

    assert lamina("ignore", "--json") == 0
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert (image["name"], image["ignore"], image["state"]) == ("app", OWN, "new")
    assert image["before"]["bytes"] - image["after"]["bytes"] > 2_000_000
    assert image["drops"][0] == {"path": "data/dump.bin", "bytes": 2_000_000}
    assert not (app.root / OWN).exists()

    assert lamina("ignore", "--check") == 6
    assert f"error: {OWN}: no such file" in capsys.readouterr().err
    assert lamina("ignore", "--write") == 0
    assert (app.root / OWN).read_text() == image["text"]
    assert lamina("ignore", "--check") == 0


def test_what_the_default_excludes_keep_out_is_not_counted(
    app: Repo, lamina: Command, capsys: Capture
) -> None:
    assert lamina("ignore", "--json") == 0
    (before,) = json.loads(capsys.readouterr().out)["images"]
    app.write(".git/objects/pack", b"x" * 2_000_000)
    app.write("src/__pycache__/a.pyc", b"x" * 2_000_000)

    assert lamina("ignore", "--json") == 0

    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert image["before"] == before["before"]
    assert {each["path"] for each in image["drops"]} == {each["path"] for each in before["drops"]}


def test_lint_init_and_ignore_count_the_same_files(app: Repo, lamina: Command, capsys: Capture) -> None:
    app.write("data/deep/one.csv", b"x" * 1000)
    (app.root / "data/link").symlink_to("deep")
    (app.root / "empty").mkdir()

    assert lamina("ignore", "--json") == 0
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert lamina("init", "--json") == 0
    found = json.loads(capsys.readouterr().out)["context_bytes"]
    assert (found["before"], found["after"]) == (image["before"]["bytes"], image["after"]["bytes"])
    assert lamina("ignore") == 0
    size = f"{image['before']['bytes'] / 1000:.1f} kB in {image['before']['files']} files"
    assert size in capsys.readouterr().out
    assert lamina("lint", "--select", "LAM401", "--notes") == 0
    assert f"the context is {size}" in capsys.readouterr().out


def test_a_check_names_stale_lines(app: Repo, lamina: Command, capsys: Capture) -> None:
    assert lamina("ignore", "--write") == 0
    app.write("more.py")
    app.edit("dockerfiles/app/Dockerfile", "COPY src", "COPY more.py")
    app.move("src", "source")
    capsys.readouterr()

    assert lamina("ignore", "--check") == 6

    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert told == [
        f"error: {OWN}:2: `*` hides a source of dockerfiles/app/Dockerfile:2: COPY more.py",
        f"error: {OWN}:3: `!src` matches nothing: src does not exist",
        f"error: {OWN}:3: out of date: `!src` would be `!more.py`",
    ]
    assert lamina("ignore", "--write") == 0
    assert lamina("ignore", "--check") == 0


def test_a_file_by_hand_is_replaced_only_where_nothing_changes(
    app: Repo, lamina: Command, capsys: Capture
) -> None:
    app.write("src/big.bin")
    app.write(OWN, "*\n!src/handler.py\n")

    assert lamina("ignore", "--write") == 0
    assert (app.root / OWN).read_text() == "*\n!src/handler.py\n"
    assert "note: " + OWN + ": not replaced: a file from the COPY instructions would include src/big.bin" in (
        capsys.readouterr().out
    )

    app.write(OWN, "*\n!src\n**/*.bin\n")
    assert lamina("ignore", "--write") == 0
    assert (app.root / OWN).read_text().splitlines()[-1] == "**/*.bin"
    assert "    - !src" not in capsys.readouterr().out


def test_the_ignore_files_of_this_repository_pass(
    repo: Repo, lamina: Command, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("dockerfiles", "receipts"):
        shutil.copytree(ROOT / folder, repo.root / folder)

    assert lamina("ignore", "--check") == 0, capsys.readouterr().err
