"""Invoke's own program with our commands: several tasks in a line, Invoke's flags, and usage errors."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise

from invoke.exceptions import ParseError
from invoke.parser.argument import Argument
from invoke.program import Program

from lamina import __version__
from lamina.tasks.collection import ns
from lamina.tasks.command import Flag
from lamina.tasks.commands import COMMANDS
from lamina.tasks.help import command_help
from lamina.tasks.line import typed_names
from lamina.tasks.usage import usage_errors


class LaminaProgram(Program):
    """Invoke's program, which reports usage errors in the form of all other errors."""

    def parse_core(self, argv: list[str] | None) -> None:
        """Parse the flags that need no task."""
        with usage_errors(argv or sys.argv, ns.task_names, ()):
            super().parse_core(argv)

    def parse_tasks(self) -> None:
        """Parse the tasks and their flags."""
        with usage_errors(self.argv, ns.task_names, self.initial_context.flags):
            super().parse_tasks()
            self._refuse_words_as_tasks()
            last = self.argv[-1]
            if self.tasks and (flag := self.tasks[-1].flags.get(last)) and flag.kind is list:
                # Invoke reports a missing value only for flags that are given once.
                raise ParseError(f"Flag {last!r} needed value and was not given one!", self.tasks[-1])

    def _refuse_words_as_tasks(self) -> None:
        """Raise ParseError for a task after one that takes words: there a word may be an image's name."""
        for task, after in pairwise(self.tasks):
            if task.name and COMMANDS[task.name].reads_words:
                text = f"{after.name!r} is a second command: run it by itself"
                raise ParseError(text, task)

    def print_task_help(self, name: str) -> None:
        """Print the help of a task."""
        sys.stdout.write(command_help(COMMANDS[name]))


def name_words(words: Sequence[str]) -> list[str]:
    """Return a line for Invoke, which does not know words for a flag: ``build --image a`` for ``build a``.

    As without Invoke, such a word is never another command.
    """
    named: list[str] = []
    core: Mapping[str, Argument] = program.initial_context.flags
    typed: Mapping[str, tuple[Flag, bool]] = {}
    takes: Flag | None = None
    waiting = False
    for word in words:
        name, has_value, _ = word.partition("=")
        if waiting:
            waiting = False
        elif word.startswith("-"):
            own = typed[name][0].kind is not bool if name in typed else False
            waiting = not has_value and (own or (name in core and _needs_value(core[name])))
        elif not typed:
            if word not in COMMANDS or (takes := COMMANDS[word].takes_words) is None:
                return [*words]
            typed = typed_names(COMMANDS[word])
        elif takes:
            named.append(f"--{takes.name}")
            takes = takes if takes.kind is list else None
        named.append(word)
    return named


def _needs_value(flag: Argument) -> bool:
    return flag.takes_value and not flag.optional


program = LaminaProgram(name="Lamina", binary="lamina", namespace=ns, version=__version__)
