"""`lamina lint` from the command line: exit codes, the table, JSON, SARIF, --fix."""

from __future__ import annotations

import json

import pytest

from ..conftest import Repo
from .conftest import Command

pytestmark = pytest.mark.usefixtures("receipts")
D, E = "base-receipt-dynamo", "lambda-embedding"


def test_findings_end_with_6_and_say_what_and_why(
    lamina: Command, receipts: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lamina("lint", "--image", D) == 6

    out = capsys.readouterr().out
    assert f"dockerfiles/{D}/Dockerfile:3" in out
    assert "why: one changed requirement downloads all of them" in out
    assert out.splitlines()[-1].startswith("0 errors, 1 warning, ")
    assert E not in out


def test_notes_alone_are_no_failure(lamina: Command, receipts: Repo) -> None:
    assert lamina("lint", "--image", E) == 0


def test_json_is_one_object_with_every_finding(lamina: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert lamina("lint", "--json") == 6

    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["command"], document["ok"], document["images"]) == (
        1,
        "lint",
        False,
        [],
    )
    found = next(each for each in document["findings"] if each["rule"] == "LAM106")
    assert found.keys() >= {"rule", "severity", "image", "file", "line", "message", "fix"}
    assert found["fix"] == [
        {
            "file": found["file"],
            "start": 3,
            "end": 4,
            "lines": [
                "RUN --mount=type=cache,target=/root/.cache/pip \\",
                "    pip install -r /src/receipt_dynamo/pyproject.toml",
            ],
        }
    ]


def test_a_fix_is_shown_written_and_not_needed_again(
    lamina: Command, receipts: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lamina("lint", "--fix", "--dry-run") == 6
    shown = capsys.readouterr().out
    assert "+RUN --mount=type=cache,target=/root/.cache/pip \\" in shown

    assert lamina("lint", "--fix") == 0
    assert capsys.readouterr().out.partition(" is written")[0].splitlines()[:-1] == (
        shown.partition("nothing is written")[0].splitlines()
    )
    assert lamina("lint") == 0
    assert lamina("lint", "--fix") == 0
    assert "is written" not in capsys.readouterr().out


def test_sarif_goes_to_a_file_or_is_all_that_standard_output_gets(
    lamina: Command, receipts: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lamina("lint", "--sarif", "lint.sarif") == 6
    written = json.loads((receipts.root / "lint.sarif").read_text())
    capsys.readouterr()

    assert lamina("lint", "--sarif", "-") == 6
    assert json.loads(capsys.readouterr().out) == written
    assert written["runs"][0]["results"]


def test_two_documents_cannot_share_standard_output(
    lamina: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lamina("lint", "--json", "--sarif", "-") == 2
    assert "--sarif: --json and --sarif - both want standard output" in capsys.readouterr().err


def test_a_dockerfile_that_does_not_parse_hides_no_findings_of_others(
    lamina: Command, receipts: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    """Images based on a wrong base are not judged: the content of the base is not known."""
    receipts.image("broken", "FETCH x")
    receipts.image("on-broken", "FROM broken", "RUN pip install --force-reinstall iniconfig")

    assert lamina("lint") == 2
    told = capsys.readouterr()
    assert f"dockerfiles/{D}/Dockerfile:3" in told.out
    assert "on-broken" not in told.out
    assert "error: dockerfiles/broken/Dockerfile:1: unknown instruction FETCH" in told.err

    assert lamina("lint", "--sarif", "-", "--image", "broken") == 2
    told = capsys.readouterr()
    assert json.loads(told.out)["runs"][0]["results"] == []
    assert "unknown instruction FETCH" in told.err
    assert lamina("lint", "--fix") == 2
