"""The table of commands and flags agrees with the functions, the fields of `Flags` and the settings."""

from __future__ import annotations

import inspect
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest

from lamina.declare.settings import SETTINGS
from lamina.flow.flags import Flags
from lamina.tasks.command import CliCommand
from lamina.tasks.commands import COMMANDS
from lamina.tasks.flags import FLAGS
from lamina.tasks.reference import commands_page


def parameters(command: CliCommand) -> dict[str, str]:
    """The parameters of a command's function besides the session, each with its annotation."""
    module, _, name = command.runs.partition(":")
    function = getattr(import_module(f"lamina.tasks.{module}"), name)
    session, *others = inspect.signature(function).parameters.values()
    assert session.name == "session"
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for each in others)
    return {each.name: each.annotation for each in others}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_command_gives_its_function_what_it_takes(command: CliCommand) -> None:
    types = {str: "str", int: "int", bool: "bool", list: "tuple[str, ...]"}
    own = {flag.parameter: flag for flag in command.flags if flag.goes_to == "command"}
    taken = parameters(command)

    assert taken.keys() == own.keys()
    for name, flag in own.items():
        needed = [types[flag.kind]]
        needed += ["None"] if flag.initial is None and not flag.positional else []
        needed += ["bool"] if flag.bare is True else []
        assert taken[name] == " | ".join(needed), name


def test_every_field_of_flags_has_a_flag_and_the_reverse() -> None:
    assert {flag.parameter for flag in FLAGS.values() if flag.goes_to in {"setting", "flags"}} == {
        each.name for each in fields(Flags)
    }


def test_the_flags_that_are_settings_are_settings() -> None:
    flags = {flag.name for flag in FLAGS.values() if flag.goes_to == "setting"}

    assert flags <= SETTINGS.keys()
    assert flags == Flags().settings.keys()


def test_a_value_that_a_command_fixes_is_not_also_a_flag_of_it() -> None:
    for command in COMMANDS.values():
        assert command.fixed.keys() <= {each.name for each in fields(Flags)}
        assert not command.fixed.keys() & {flag.parameter for flag in command.flags}


def test_short_names_differ() -> None:
    for command in COMMANDS.values():
        chosen = command.short_names
        assert len({*chosen.values()}) == len(chosen), command.name


def test_the_page_of_commands_is_made_from_the_table() -> None:
    page = Path(__file__).parents[3] / "docs/commands.md"

    assert page.read_text("utf-8") == commands_page(), "python -m lamina.tasks.reference > docs/commands.md"
