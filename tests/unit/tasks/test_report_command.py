"""`lamina report` from the command line, on recorded runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.tasks import program

from ..conftest import Repo
from ..report.runs import COLD, EDIT, EDITED, A, image, put, put_edit, put_pair

Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def lamina(receipts: Repo, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command in the repository; returns its exit code."""
    monkeypatch.chdir(receipts.root)
    for name in [each for each in os.environ if each.startswith("LAMINA_")]:
        monkeypatch.delenv(name)

    def run(*words: str) -> int:
        return program.run(words)

    return run


@pytest.fixture
def state(receipts: Repo) -> Path:
    """The state of a repository after a failed and a later successful build."""
    found = receipts.root / ".lamina"
    put_pair(found, "fail", ok=False)
    put_edit(found)
    return found


@pytest.mark.usefixtures("state")
def test_the_latest_run_is_reported(lamina: Command, capsys: Capture) -> None:
    assert lamina("report") == 0

    out = capsys.readouterr().out
    assert out.startswith(f"run {EDITED}, build-all, ")
    assert "1 built, 2 skipped in 4.0 s; 3 of 4 steps from the cache (75 %)" in out
    assert "the slowest steps of the last 2 runs:" in out
    (line,) = [each for each in out.splitlines() if " stage-1 2/3 " in each and each.startswith("lambda-emb")]
    assert line.split()[-5:] == ["handler.py", "modified", "and", "1", "more"]


def test_an_image_without_a_builder_is_reported_as_appended(
    receipts: Repo, lamina: Command, capsys: Capture
) -> None:
    made = image(A, appended="sha256:" + "1" * 64)
    put(receipts.root / ".lamina", EDITED, EDIT, {}, images=[made])

    assert lamina("report") == 0

    (row,) = [each.split() for each in capsys.readouterr().out.splitlines() if each.startswith(A)]
    assert row[:4] == [A, "built", "why", "appended"]


@pytest.mark.usefixtures("state")
def test_json_has_all_of_it(lamina: Command, capsys: Capture) -> None:
    assert lamina("report", "--run", COLD[:13], "--last", "1", "--json") == 0

    document = json.loads(capsys.readouterr().out)
    assert (document["command"], document["run"]["id"], document["run"]["ok"]) == ("report", COLD, False)
    assert [each["name"] for each in document["images"]] == ["base-a", "lambda-b"]
    steps = {(each["image"], each["step"]): each["result"] for each in document["steps"]}
    assert steps[A, "deps 2/2"] == "ran"
    assert [each["id"] for each in document["runs"]] == [EDITED]
    assert document["saved"] is None


@pytest.mark.usefixtures("state")
def test_runs_are_listed(lamina: Command, capsys: Capture) -> None:
    assert lamina("report", "--list") == 0

    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["run", EDITED, COLD]


@pytest.mark.usefixtures("state")
def test_one_page_is_written_for_all_runs(lamina: Command, tmp_path: Path, capsys: Capture) -> None:
    page = tmp_path / "runs.html"

    assert lamina("report", "--list", "--html", str(page), "--json") == 0

    assert json.loads(capsys.readouterr().out)["page"] == str(page)
    assert "<h1>2 runs</h1>" in page.read_text()


def test_a_page_is_written_where_it_is_wanted(
    lamina: Command, state: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert lamina("report", "--html") == 0
    assert capsys.readouterr().out == f"{state / 'report.html'}\n"
    assert (state / "report.html").read_text().startswith("<!doctype html>")

    assert lamina("report", "--html", str(tmp_path / "deep" / "page.html"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["page"] == str(tmp_path / "deep" / "page.html")
    assert (tmp_path / "deep" / "page.html").exists()


def test_no_run_is_said_so(lamina: Command, capsys: Capture) -> None:
    assert lamina("report") == 3

    assert "no run is kept here yet\n  next: invoke build-all" in capsys.readouterr().err


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize("words", [("--run", "nonsense"), ("--last", "0")])
def test_a_run_that_cannot_be_read_is_refused(
    words: tuple[str, ...], lamina: Command, capsys: Capture
) -> None:
    assert lamina("report", *words) == 3
    assert "error: --" in capsys.readouterr().err


def test_an_empty_period_is_not_taken_for_no_flag(lamina: Command, state: Path, capsys: Capture) -> None:
    assert lamina("report", "--since", "") == 2
    assert capsys.readouterr().err.startswith("error: --since: '' is not a period\n  allowed: a number of ")
