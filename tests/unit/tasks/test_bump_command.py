"""`lamina bump` from the command line."""

from __future__ import annotations

import json
import re

import pytest

from uv_workspace import write_workspace

from ..conftest import Repo
from .conftest import Command

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def workspace(repo: Repo) -> Repo:
    write_workspace(repo)
    for package in ("common", "store"):
        repo.write(f"packages/{package}/src/{package}/__init__.py")
    return repo


def test_files_are_written_when_asked(workspace: Repo, lamina: Command, capsys: Capture) -> None:
    assert lamina("bump", "python", "3.14") == 0
    shown = capsys.readouterr().out
    assert "+FROM public.ecr.aws/lambda/python:3.14" in shown
    assert "python==3.14: 2 files to change, 2 of 2 images to build again" in shown
    assert "nothing is written: --write writes the files" in shown

    assert lamina("bump", "python", "--to", "3.14", "--write", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["written"] == ["dockerfiles/ingest/Dockerfile", "dockerfiles/report/Dockerfile"]
    assert [each["name"] for each in document["images"]] == ["ingest", "report"]
    assert (document["to"], document["missing"]) == ("python==3.14", [])

    assert lamina("bump", "python==3.14", "--write") == 0
    assert "0 files to change, 0 of 2 images to build again\nnothing is written\n" in capsys.readouterr().out


def test_a_check_that_finds_a_missing_wheel_writes_nothing(
    workspace: Repo, lamina: Command, capsys: Capture
) -> None:
    lock = (workspace.root / "uv.lock").read_text()
    wheel = "orjson-3.13.0-cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
    workspace.write("uv.lock", re.sub(r"orjson-3\.13\.0-[^\"]*\.whl", wheel, lock))

    assert lamina("bump", "python", "3.14", "--check", "--write") == 6

    told = capsys.readouterr()
    assert "uv.lock: orjson==3.13.0 has no wheel for Python 3.14 on linux/amd64" in told.err
    assert "nothing is written\n" in told.out
    assert ":3.13" in (workspace.root / "dockerfiles/report/Dockerfile").read_text()
    assert lamina("bump", "python", "3.13", "--check") == 0


@pytest.mark.parametrize(
    ("words", "code"), [(("python",), 2), (("python", "x"), 2), (("nothing",), 3), ((), 2)]
)
def test_mistakes_have_the_code_of_their_class(
    workspace: Repo, lamina: Command, words: tuple[str, ...], code: int
) -> None:
    assert lamina("bump", *words) == code
