"""The list of commands and the help of each, in the form of Invoke, without importing Invoke."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterable, Iterator

from lamina.tasks.command import CliCommand, Flag
from lamina.tasks.commands import GROUPS

_WIDTH = 80
_INDENT, _GAP = "  ", 3
_VALUES = {str: "STRING", int: "INT"}
# fmt: off
CORE = (
    ("--complete", "Print tab-completion candidates for given parse remainder."),
    ("--hide=STRING", "Set default value of run()'s 'hide' kwarg."),
    ("--print-completion-script=STRING",
     "Print the tab-completion script for your preferred shell (bash|zsh|fish)."),
    ("--prompt-for-sudo-password", "Prompt user at start of session for the sudo.password config value."),
    ("--write-pyc", "Enable creation of .pyc files."),
    ("-d, --debug", "Enable debug output."),
    ("-D INT, --list-depth=INT", "When listing tasks, only show the first INT levels."),
    ("-e, --echo", "Echo executed commands before running."),
    ("-f STRING, --config=STRING", "Runtime configuration file to use."),
    ("-F STRING, --list-format=STRING",
     "Change the display format used when listing tasks. Should be one of: flat (default), nested, json."),
    ("-h [STRING], --help[=STRING]", "Show core or per-task help and exit."),
    ("-l [STRING], --list[=STRING]", "List available tasks, optionally limited to a namespace."),
    ("-p, --pty", "Use a pty when executing shell commands."),
    ("-R, --dry", "Echo commands instead of running."),
    ("-T INT, --command-timeout=INT", "Specify a global command execution timeout, in seconds."),
    ("-V, --version", "Show version and exit."),
    ("-w, --warn-only", "Warn, instead of failing, when shell commands fail."),
)
"""The flags of Invoke itself, which `lamina` takes too."""
# fmt: on


def program_help(*, everything: bool = False) -> str:
    """Return the help of `lamina`: how to call it, and the commands; with everything also Invoke's flags."""
    head = "Usage: lamina COMMAND [IMAGE ...] [--flags]\n\n"
    return head + command_list(everything=everything) + (f"Flags:\n\n{_columns(CORE)}" if everything else "")


def command_list(*, everything: bool = False) -> str:
    """Return the commands by what one is doing: those of every day with a line about each, else the names.

    Args:
        everything: Whether all have a line.
    """
    if everything:
        return "".join(f"{title}:\n\n{_summaries(group)}" for title, group in GROUPS.items())
    (usual, first), *rest = GROUPS.items()
    others = ((title, ", ".join(each.name for each in group)) for title, group in rest)
    return (
        f"{usual}:\n\n{_summaries(first)}"
        f"Also:\n\n{_columns(others)}"
        "lamina --help COMMAND shows the flags of a command; lamina --list --all has a line about each.\n\n"
    )


def _summaries(group: Iterable[CliCommand]) -> str:
    return _columns((each.name, each.summary) for each in group)


def command_help(command: CliCommand) -> str:
    """Return the help of a command."""
    options = " [--flags]" if command.flags else ""
    takes = command.takes_words
    several = " ..." if takes and takes.kind is list else ""
    required = "".join(f" {flag.name.upper()}" for flag in command.flags if flag.positional)
    words = f" [{takes.name.upper()}{several}]" if takes else ""
    lines = (f"{_INDENT}{line}" if line.strip() else "" for line in command.help.splitlines())
    return (
        f"Usage: lamina {command.name}{required}{words}{options}\n\n"
        + "".join(f"{line}\n" for line in (*lines, "", "Flags:", ""))
        + (_columns(_flags(command)) if command.flags else f"{_INDENT}none\n\n")
    )


def _flags(command: CliCommand) -> Iterator[tuple[str, str]]:
    """Yield each flag as typed, with its help; those without a letter of their own are first."""
    short = command.short_names

    def order(flag: Flag) -> tuple[bool, str, str]:
        shown = short.get(flag.name, flag.name)
        return len(shown) == 1, shown.lower(), shown.swapcase()

    for flag in sorted(command.flags, key=order):
        typed = f"--{flag.name}" if flag.default is not True else f"--[no-]{flag.name}"
        value = _VALUES.get(flag.kind, "")
        forms = [typed + (f"[={value}]" if flag.bare is not None else f"={value}" if value else "")]
        if letter := short.get(flag.name):
            forms.insert(0, f"-{letter}" + (f" [{value}]" if flag.bare is not None else f" {value}").rstrip())
        yield ", ".join(forms), flag.help


def _columns(rows: Iterable[tuple[str, str]]) -> str:
    rows = list(rows)
    names = max(len(name) for name, _ in rows)
    width = _terminal_width() - names - len(_INDENT) - _GAP - 1
    wrapper = textwrap.TextWrapper(width=width)
    lines = []
    for name, text in rows:
        margin = f"{_INDENT}{name:{names}}{' ' * _GAP}"
        for line in wrapper.wrap(text):
            lines.append(margin + line)
            margin = " " * len(margin)
    return "".join(f"{line}\n" for line in lines) + "\n"


def _terminal_width() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or _WIDTH
    except (OSError, ValueError):  # not a terminal, or closed
        return _WIDTH
