"""Usage errors."""

from __future__ import annotations

import json
import sys

import pytest

from lamina.tasks.commands import COMMANDS, GROUPS

from ..conftest import RUNTIME, Repo
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
        (
            ("smoke", "--timeout", "soon"),
            "smoke: --timeout: 'soon' is not a whole number\n  next: lamina --help smoke",
        ),
        (("smoke", "--timeout=soon"), "smoke: --timeout: 'soon' is not a whole number"),
        (("promote", "dev"), "promote needs FROM and TO\n  next: lamina --help promote"),
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


@pytest.mark.parametrize(
    ("called", "hint"),
    [
        ("/usr/bin/lamina", "lamina build-all"),
        ("/usr/bin/invoke", "invoke build-all"),
        ("/lib/python3.13/site-packages/lamina/__main__.py", "python -m lamina build-all"),
    ],
)
def test_a_hint_names_the_program_as_it_was_called(
    lamina: Command,
    receipts: Repo,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    called: str,
    hint: str,
) -> None:
    monkeypatch.setattr(sys, "argv", [called])

    assert lamina("outputs", "lambda-embedding") == 3
    assert f"next: {hint} --push --image lambda-embedding\n" in capsys.readouterr().err

    assert lamina("bild") == 2
    program = hint.removesuffix(" build-all").replace("invoke", "lamina")
    assert f"next: {program} --list\n" in capsys.readouterr().err


def test_several_commands_in_a_line_run_one_after_the_other(
    lamina: Command, receipts: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lamina("config", "plan", "--offline", "--check") == 7

    out = capsys.readouterr().out
    assert out.index("sbom-generator") < out.index("4 to build")


@pytest.mark.parametrize(
    ("words", "unknown"),
    [
        (("--debug", "plan", "config"), "config"),
        (("plan", "config", "--echo"), "config"),
        (("-F", "plan", "plan", "--stack", "x", "a", "config", "-e"), "a"),
        (("build", "a", "config", "--echo"), "a"),
    ],
)
def test_a_word_is_an_image_beside_flags_of_invoke_too(
    lamina: Command, receipts: Repo, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], unknown: str
) -> None:
    """Invoke reads these lines: it would run the second command."""
    assert lamina(*words) == 3

    assert f"there is no image '{unknown}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("build", "a", "config", "--jsn"), "build has no flag --jsn; did you mean --json?"),
        (("build", "a", "--image"), "build: --image needs a value"),
        (("report", "a", "config", "--echo"), "report: 'config' is a second command: run it by itself"),
        (("why", "a", "config"), "why: 'config' is a second command: run it by itself"),
    ],
)
def test_a_mistake_after_words_is_named(
    lamina: Command, receipts: Repo, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    assert lamina(*words) == 2

    told = capsys.readouterr()
    assert told.err.startswith(f"error: {says}")
    assert told.out == ""


def test_an_image_may_be_named_like_a_command(
    lamina: Command, receipts: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    receipts.image("report", f"FROM {RUNTIME}", "ENV REPORT=1")

    assert lamina("plan", "report", "--offline", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["command"], [each["name"] for each in plan["images"]]) == ("plan", ["report"])


@pytest.mark.parametrize("words", [("build", "report"), ("build", "lambda-embedding", "report")])
def test_a_second_command_is_an_unknown_image(
    lamina: Command, receipts: Repo, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert lamina(*words) == 3

    told = capsys.readouterr().err
    assert "there is no image 'report'" in told
    assert "next: lamina runs one command at a time: invoke build, then invoke report" in told


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--version",), "Lamina "),
        ((), "Usage: lamina COMMAND [IMAGE ...] [--flags]\n\nEvery day:\n\n  plan "),
        (("--list",), "Every day:\n\n  plan "),
        (("--help", "why"), "Usage: lamina why IMAGE [--flags]"),
        (("why", "--help"), "Usage: lamina why IMAGE [--flags]"),
        (("plan", "--help"), "Usage: lamina plan [IMAGE ...] [--flags]"),
        (("--debug", "plan", "--help"), "Usage: lamina plan [IMAGE ...] [--flags]"),
        (("report", "--help"), "Usage: lamina report [RUN] [--flags]"),
        (("--list", "ecr"), "Subcommands:\n\n  .setup"),
    ],
)
def test_help_is_printed(
    lamina: Command, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    assert lamina(*words) == 0
    assert capsys.readouterr().out.startswith(says)


def test_every_command_is_in_one_group_and_in_the_full_list(
    lamina: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    grouped = [each.name for group in GROUPS.values() for each in group]
    assert sorted(grouped) == sorted(COMMANDS)

    assert lamina("--list", "--all") == 0
    listed = capsys.readouterr().out
    assert all(f"\n  {name} " in listed for name in COMMANDS)
    assert lamina("--help", "--all") == 0
    assert "--write-pyc" in capsys.readouterr().out


def test_an_unknown_image_names_the_nearest(
    lamina: Command, receipts: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lamina("plan", "lambda-embeding", "--offline") == 3
    assert "there is no image 'lambda-embeding'; did you mean lambda-embedding?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "has", "lacks"),
    [
        ((), ("plan", "codebuild.build", "--version"), ()),
        (("pl",), ("plan",), ()),
        (("build",), ("build", "build-all"), ("lambda-embedding",)),
        (("--help", ""), ("plan",), ("--version",)),
        (("plan", ""), ("lambda-embedding",), ("LAM106", "--offline")),
        (("plan", "-"), ("--offline", "--help"), ("lambda-embedding",)),
        (("smoke", "--image", ""), ("lambda-embedding",), ("--memory",)),
        (("smoke", "--image", "lam"), ("lambda-embedding",), ("--memory",)),
        (("smoke", "--image", "=", "lam"), ("lambda-embedding",), ("--memory",)),
        (("smoke", "--image", "="), ("lambda-embedding",), ("--memory",)),
        (("smoke", "--image=lam"), ("--image=lambda-embedding",), ("--memory",)),
        (("rule", ""), ("LAM106", "no-cache-mount"), ("lambda-embedding",)),
        (("lint", "--select", ""), ("LAM106",), ("--fix",)),
        (("build", "--push", "lambda-embedding", ""), ("lambda-word-label",), ("lambda-embedding",)),
        (("phases", ""), ("--json",), ("lambda-embedding",)),
        (("smoke", "--timeout", ""), (), ("lambda-embedding",)),
    ],
)
def test_a_shell_is_offered_commands_flags_and_their_values(
    lamina: Command,
    receipts: Repo,
    capsys: pytest.CaptureFixture[str],
    typed: tuple[str, ...],
    has: tuple[str, ...],
    lacks: tuple[str, ...],
) -> None:
    assert lamina("--complete", "--", "lamina", *typed) == 0

    offered = capsys.readouterr().out.split()
    assert {*has} <= {*offered}
    assert {*lacks}.isdisjoint(offered)


def test_a_broken_configuration_offers_no_images_and_no_error(
    lamina: Command, repo: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    repo.config("[tool.lamina\n")

    assert lamina("--complete", "--", "lamina", "plan", "") == 0

    told = capsys.readouterr()
    assert (told.err, told.out) == ("", "")
