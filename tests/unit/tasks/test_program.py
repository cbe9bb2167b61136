"""Usage errors."""

from __future__ import annotations

import json

import pytest

from ..conftest import Repo
from .conftest import Command


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("bild-all",), "there is no task 'bild-all'; did you mean build-all?\n  next: lamina --list"),
        (("zzz",), "there is no task 'zzz'\n  next: lamina --list"),
        (("plan", "--jsn"), "plan has no flag --jsn; did you mean --json?\n  next: lamina --help plan"),
        (("--lits",), "lamina has no flag --lits; did you mean --list?"),
        (("plan", "--image"), "plan: --image needs a value\n  next: lamina --help plan"),
        (("build-all", "--builder"), "build-all: --builder needs a value"),
        (("smoke", "--timeout", "soon"), "'soon' is not a whole number\n  next: lamina --help smoke"),
    ],
)
def test_a_mistake_is_reported_with_the_nearest_name(
    lamina: Command, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    assert lamina(*words) == 2

    told = capsys.readouterr()
    assert told.err.startswith(f"error: {says}")
    assert told.out == ""

    assert lamina(*words[:1], "--json", *words[1:]) == 2 if words[0] != "--lits" else True
    if words[0] != "--lits":
        report = json.loads(capsys.readouterr().out)
        assert (report["ok"], report["images"]) == (False, [])
        assert says.splitlines()[0] in report["messages"][0]["text"]


def test_several_commands_in_a_line_run_one_after_the_other(
    lamina: Command, receipts: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lamina("config", "plan", "--offline", "--check") == 7

    out = capsys.readouterr().out
    assert out.index("sbom-generator") < out.index("4 to build")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--version",), "Lamina "),
        ((), "Usage: lamina [--core-opts]"),
        (("--list",), "Subcommands:"),
        (("--help", "why"), "Usage: lamina [--core-opts] why"),
        (("why", "--help"), "Usage: lamina [--core-opts] why"),
        (("--list", "ecr"), "Subcommands:\n\n  .setup"),
    ],
)
def test_help_is_printed(
    lamina: Command, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    assert lamina(*words) == 0
    assert capsys.readouterr().out.startswith(says)
