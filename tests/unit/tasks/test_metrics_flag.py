"""``--metrics``, its variable and its setting: also a build that could not begin is measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ..conftest import Repo
from .conftest import Command

Capture = pytest.CaptureFixture[str]


def exit_code(file: Path) -> float:
    """The exit code in a line of JSON."""
    return float(json.loads(file.read_text())["RunExitCode"])


def test_a_build_that_selects_nothing_is_measured(app: Repo, lamina: Command) -> None:
    assert lamina("build", "other", "--metrics", "m.json") == 3

    assert exit_code(app.root / "m.json") == 3


def test_a_build_whose_configuration_is_wrong_is_measured(
    app: Repo, lamina: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.config("[tool.lamina]\njobs = -1\n")

    assert lamina("build-all", "--metrics", "flag.json", "--stack", "prod") == 2
    monkeypatch.setenv("LAMINA_METRICS", "variable.json")
    assert lamina("build-all") == 2

    assert [exit_code(app.root / f"{name}.json") for name in ("flag", "variable")] == [2, 2]
    found = json.loads((app.root / "flag.json").read_text())
    assert (found["project"], found["stack"]) == ("repo", "prod")


def test_the_setting_names_a_file_of_the_project(
    app: Repo, lamina: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.config('[tool.lamina]\nmetrics = "out/m.json"\n')
    monkeypatch.chdir(app.root / "src")

    assert lamina("build", "other") == 3

    assert exit_code(app.root / "out/m.json") == 3


def test_a_flag_names_a_file_of_the_current_folder(
    app: Repo, lamina: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(app.root / "src")

    assert lamina("build", "other", "--metrics", "m.json") == 3

    assert exit_code(app.root / "src/m.json") == 3


def test_commands_that_build_nothing_write_no_metrics(app: Repo, lamina: Command) -> None:
    app.config('[tool.lamina]\nmetrics = "m.json"\n')

    assert lamina("plan", "--offline") == 0

    assert not (app.root / "m.json").exists()


def test_a_name_without_a_format_is_refused(app: Repo, lamina: Command, capsys: Capture) -> None:
    assert lamina("build-all", "--metrics", "m.txt") == 2

    assert "--metrics: 'm.txt' does not say in which format metrics are written" in capsys.readouterr().err
    assert not (app.root / "m.txt").exists()


@pytest.mark.parametrize("words", [(), ("--json",)], ids=["for people", "JSON"])
def test_a_dash_leaves_standard_output_to_json(
    app: Repo, lamina: Command, capsys: Capture, words: tuple[str, ...]
) -> None:
    assert lamina("build", "other", "--metrics", "-", *words) == 3

    out, err = capsys.readouterr()
    line = (err if words else out).strip().splitlines()[-1]
    assert json.loads(line)["RunFailed"] == 1
    if words:
        assert json.loads(out)["ok"] is False


@pytest.mark.parametrize(
    ("env", "traced"),
    [
        ({}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:1"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_a_command_is_traced_only_if_asked(
    app: Repo,
    lamina: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    env: dict[str, str],
    traced: bool,
) -> None:
    """Unit tests refuse the network, or the extra is missing: a note, and not an error of the command."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    assert lamina("plan", "--offline") == 0

    assert ("trace" in capsys.readouterr().out) is traced
