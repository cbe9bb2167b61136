"""Invoke's tasks, made from the table of commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.parser.argument import Argument
from invoke.tasks import Task

from lamina.tasks.command import CliCommand, Flag, Given
from lamina.tasks.commands import COMMANDS
from lamina.tasks.frame import run_command


class CommandTask(Task[Callable[..., None]]):
    """A task whose arguments are those of a command of the table."""

    def __init__(self, command: CliCommand, name: str) -> None:
        def body(_: Context, **values: Given) -> None:
            if code := run_command(command, values):
                raise Exit(code=code)

        body.__doc__ = command.help
        super().__init__(body, name=name, positional=())
        self.command = command

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:  # noqa: ARG002
        """Return the command's flags as Invoke's parser reads them."""
        short = self.command.short_names
        ordered = sorted(self.command.flags, key=lambda flag: not flag.positional)
        return [_argument(flag, short.get(flag.name)) for flag in ordered]


def _argument(flag: Flag, short: str | None) -> Argument:
    return Argument(
        names=(flag.name, short) if short else (flag.name,),
        kind=flag.kind,
        default=flag.initial,
        help=flag.help,
        positional=flag.positional,
        optional=flag.bare is not None,
    )


def _collect(commands: Mapping[str, CliCommand]) -> Collection:
    ns = Collection()
    groups: dict[str, Collection] = {}
    for command in commands.values():
        group, _, name = command.name.rpartition(".")
        if group and group not in groups:
            groups[group] = Collection(group)
        target = groups[group] if group else ns
        target.add_task(CommandTask(command, name))
    for each in groups.values():
        ns.add_collection(each)
    return ns


ns = _collect(COMMANDS)
