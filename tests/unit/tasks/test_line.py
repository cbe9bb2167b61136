"""Command lines are read as Invoke's own parser would, and words without a flag go to one of them."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from invoke.exceptions import ParseError
from invoke.parser.parser import Parser

from lamina.tasks.collection import ns
from lamina.tasks.command import CliCommand
from lamina.tasks.commands import COMMANDS
from lamina.tasks.invoke_program import program
from lamina.tasks.line import read_line, typed_names

CASES = 600
PARSER = Parser(initial=program.initial_context, contexts=ns.to_contexts())


def as_invoke(words: list[str]) -> Mapping[str, object] | None:
    """The values that Invoke gives a task for these words; None for mistakes and several tasks."""
    try:
        core, *tasks = PARSER.parse_argv(words)
    except (ParseError, ValueError):
        return None
    if len(tasks) != 1 or any(arg.got_value for arg in core.args.values()):
        return None
    return dict(tasks[0].as_kwargs)


def read(words: list[str]) -> Mapping[str, object] | None:
    call = read_line(words)
    if call is None:
        return None
    return {flag.name: call.values.get(flag.name, flag.initial) for flag in call.command.flags}


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("plan", {}),
        ("plan --image a --image b --json", {"image": ["a", "b"], "json": True}),
        ("plan --image=a -i b -ic", {"image": ["a", "b", "c"]}),
        ("plan -fo", {"force": True, "offline": True}),
        ("plan -foi a", {"force": True, "offline": True, "image": ["a"]}),
        ("plan --registry --plain", {"registry": "--plain"}),
        ("plan --registry --stack=prod", {"registry": "--stack=prod"}),
        ("plan --registry --json", None),
        ("plan --registry=", {"registry": ""}),
        ("plan --registry a --registry b", None),
        ("plan --json=yes", None),
        ("plan --image", None),
        ("plan --jsn", None),
        ("plan -z", None),
        ("plan --echo", None),
        ("plan -- more", None),
        ("build-all --provenance --push", {"provenance": True, "push": True}),
        ("build-all --provenance=max", {"provenance": "max"}),
        ("build-all --provenance max --image a", {"provenance": "max", "image": ["a"]}),
        ("build-all --provenance", {"provenance": True}),
        ("build-all --provenance plan", None),
        ("report --html --json", {"html": True, "json": True}),
        ("report --html page.html", {"html": "page.html"}),
        ("report --last 3", {"last": 3}),
        ("report --last three", None),
        ("codebuild.build --no-wait", {"wait": False}),
        ("codebuild.build --no-follow", None),
        ("why a --from stable", {"image": "a", "from": "stable"}),
        ("why --from stable a", {"image": "a", "from": "stable"}),
        ("why plan", {"image": "plan"}),
        ("why --image a", {"image": "a"}),
        ("why", None),
        ("why a b", None),
        ("lock -- a", None),
        ("login a", None),
        ("bild-all", None),
        ("--json plan", None),
    ],
)
def test_a_line_is_read_as_invoke_reads_it(line: str, values: Mapping[str, object] | None) -> None:
    found = read(line.split())
    if found is not None and values is not None:
        found = {name: value for name, value in found.items() if name in values}

    assert found == values
    assert (as_invoke(line.split()) if values is None else read(line.split())) == as_invoke(line.split())


def random_line(rng: random.Random) -> list[str]:
    """A command and words that are its flags, their values, or near to either."""
    command = COMMANDS[rng.choice([*COMMANDS])]
    typed = [name for name in typed_names(command) if name != "--"]
    words = [command.name]
    for _ in range(rng.randint(0, 6)):
        flag = rng.choice(typed) if typed else "--json"
        value = rng.choice(["a", "7", "", "-x", "--json", "max", "plan", "a=b", "--x=y", "-1"])
        words += rng.choice(
            [[flag], [flag, value], [f"{flag}={value}"], [f"{flag}{value}"], [value], [flag, flag]]
        )
    return words


def test_random_lines_mean_what_they_mean_to_invoke() -> None:
    rng, read_here = random.Random(14), 0
    for _ in range(CASES):
        words = random_line(rng)
        found, meant = read(words), as_invoke(words)
        if found is not None and (meant is not None or COMMANDS[words[0]].takes_words is None):
            read_here += 1
            assert found == meant, words
    assert read_here > CASES / 10


@pytest.mark.parametrize(
    ("line", "spelled"),
    [
        ("plan a", "plan --image a"),
        ("plan a b --json", "plan --image a --image b --json"),
        ("plan --json a --image b", "plan --json --image a --image b"),
        ("build a --provenance --push", "build --image a --provenance --push"),
        ("report 2026", "report --run 2026"),
        ("check host/app:1 --json", "check --ref host/app:1 --json"),
        ("build report", "build --image report"),
        ("build tag lock --push", "build --image tag --image lock --push"),
        ("smoke audit --json", "smoke --image audit --json"),
        ("plan plan", "plan --image plan"),
        ("report lint", "report --run lint"),
        ("check deploy", "check --ref deploy"),
    ],
)
def test_words_without_a_flag_are_the_images_the_run_or_the_references(line: str, spelled: str) -> None:
    assert read(line.split()) == as_invoke(spelled.split())


@pytest.mark.parametrize("line", ["report 2026 2025", "config a", "config plan"])
def test_words_that_no_flag_takes_are_left_to_invoke(line: str) -> None:
    assert read(line.split()) is None


@pytest.mark.parametrize("line", ["why --help", "why -h", "plan --offline --help", "plan -h", "build-all -h"])
def test_a_command_is_asked_for_its_help(line: str) -> None:
    call = read_line(line.split())

    assert call is not None
    assert call.help


def test_a_flag_of_the_command_is_not_help() -> None:
    call = read_line(["build-all", "-c", "-p"])

    assert call is not None
    assert not call.help
    assert call.values == {"create": True, "push": True}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_short_names_are_letters_and_never_that_of_help(command: CliCommand) -> None:
    short = command.short_names.values()

    assert all(len(each) == 1 and each.isalpha() and each != "h" for each in short)
    assert len(set(short)) == len(short)
