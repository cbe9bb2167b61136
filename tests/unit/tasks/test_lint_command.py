"""`lamina lint` and `lamina rule` from the command line: exit codes, formats, --select, --fix."""

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
    assert f"dockerfiles/{D}/Dockerfile:3:1: LAM106 warning: " in out
    assert "why: one changed requirement downloads all of them" in out
    assert "help: invoke lint --fix --select LAM106" in out
    assert out.splitlines()[-1].startswith("0 errors, 1 warning; ")
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


def test_sarif_is_all_that_standard_output_gets_or_goes_to_a_file(
    lamina: Command, receipts: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lamina("lint", "--output-format", "sarif", "--output-file", "lint.sarif") == 6
    written = json.loads((receipts.root / "lint.sarif").read_text())
    assert "LAM106 warning: " in capsys.readouterr().out

    assert lamina("lint", "--output-format", "sarif") == 6
    assert json.loads(capsys.readouterr().out) == written
    assert written["runs"][0]["results"]


def test_two_documents_cannot_share_standard_output(
    lamina: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lamina("lint", "--json", "--output-format", "sarif") == 2
    assert "--json: --json and --output-format sarif both want standard output" in capsys.readouterr().err


def test_an_unknown_format_names_the_nearest(lamina: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert lamina("lint", "--output-format", "sarf") == 2

    err = capsys.readouterr().err
    assert "--output-format: 'sarf' is not a format; did you mean sarif?" in err
    assert "allowed: full, concise, " in err


def test_json_is_the_same_by_either_flag_and_in_a_file(
    lamina: Command, receipts: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lamina("lint", "--json") == 6
    printed = json.loads(capsys.readouterr().out)

    assert lamina("lint", "--output-format", "json") == 6
    assert json.loads(capsys.readouterr().out) == printed
    assert lamina("lint", "--output-format", "json", "--output-file", "lint.json") == 6
    assert json.loads((receipts.root / "lint.json").read_text()) == printed


def test_notes_are_shown_when_asked_for(
    lamina: Command, receipts: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lamina("lint", "--image", E) == 0
    out = capsys.readouterr().out
    assert " note: " not in out
    assert "not shown: --notes" in out

    assert lamina("lint", "--image", E, "--notes") == 0
    assert " note: " in capsys.readouterr().out


def test_rules_are_selected_and_ignored_by_id_beginning_and_name(
    lamina: Command, receipts: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lamina("lint", "--select", "LAM1,LAM304", "--ignore", "unpinned", "--json") == 6
    rules = {each["rule"] for each in json.loads(capsys.readouterr().out)["findings"]}

    assert "LAM106" in rules
    assert all(each.startswith("LAM1") or each == "LAM304" for each in rules)
    assert "LAM107" not in rules
    assert lamina("lint", "--ignore", "LAM1") == 0


def test_a_selection_of_no_rule_is_refused(lamina: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert lamina("lint", "--select", "LAM99", "--ignore", "no-cash-mount") == 2

    err = capsys.readouterr().err
    assert "--select: unknown rule 'LAM99'" in err
    assert "--ignore: unknown rule 'no-cash-mount'; did you mean no-cache-mount?" in err


def test_only_selected_rules_are_fixed(lamina: Command, receipts: Repo) -> None:
    before = (receipts.root / f"dockerfiles/{D}/Dockerfile").read_text()

    assert lamina("lint", "--fix", "--select", "LAM101") == 0

    assert (receipts.root / f"dockerfiles/{D}/Dockerfile").read_text() == before


def test_a_rule_is_explained_by_id_and_by_name(lamina: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert lamina("rule", "LAM106") == 0
    explained = capsys.readouterr().out
    assert explained.startswith("LAM106 no-cache-mount (warning)\n")
    assert "# lamina: ignore[LAM106]" in explained

    assert lamina("rule", "no-cache-mount") == 0
    assert capsys.readouterr().out == explained
    assert lamina("rule", "LAM106", "--json") == 0
    assert json.loads(capsys.readouterr().out)["rule"]["id"] == "LAM106"
    assert lamina("rule", "LAM16") == 2


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

    assert lamina("lint", "--output-format", "sarif", "--image", "broken") == 2
    told = capsys.readouterr()
    assert json.loads(told.out)["runs"][0]["results"] == []
    assert "unknown instruction FETCH" in told.err
    assert lamina("lint", "--fix") == 2
