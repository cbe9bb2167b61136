"""The ``lamina`` command: the same commands without a tasks.py, in any repository.

What people usually type is read and answered from the table of commands; Invoke, which takes longer to import
than most commands take to run, gets everything else.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from lamina import __version__
from lamina.tasks.output import flush_output, output_refused

_ANSWERED = ("--help", "-h", "--list", "-l", "--complete", "--print-completion-script")
"""Flags that Invoke need not read."""


def main() -> None:
    """Run the command line. Report an output that cannot be written; end quietly if it was closed."""
    gc.disable()  # imports make no garbage; a session switches it on again
    try:
        code = run(sys.argv[1:])
    except OSError as error:  # lists and help
        code = output_refused(error)
    sys.exit(flush_output() or code)


def run(words: Sequence[str]) -> int:
    """Run the words after ``lamina``, and return the exit code."""
    text = _answer(words)
    if text is not None:
        sys.stdout.write(text)
        return 0
    from lamina.tasks.line import read_line

    call = read_line(words)
    if call is None:
        return _run_with_invoke(words)
    if call.help:
        from lamina.tasks.help import command_help

        sys.stdout.write(command_help(call.command))
        return 0
    from lamina.tasks.frame import run_command

    return run_command(call.command, call.values)


def _answer(words: Sequence[str]) -> str | None:
    """Return the version, the list of commands, help or completions if that is all the words ask for."""
    if [*words] in (["--version"], ["-V"]):
        return f"Lamina {__version__}\n"
    flag, has_value, value = words[0].partition("=") if words else ("", "", "")
    if words and flag not in _ANSWERED:
        return None
    from lamina.tasks.commands import COMMANDS
    from lamina.tasks.help import command_help, command_list, program_help

    match [flag, value, *words[1:]] if has_value else [*words]:
        case [] | ["--help" | "-h"]:
            return program_help()
        case ["--help" | "-h", "--all"]:
            return program_help(everything=True)
        case ["--list" | "-l"]:
            return command_list()
        case ["--list" | "-l", "--all"]:
            return command_list(everything=True)
        case ["--complete", "--", _, *typed]:
            from lamina.tasks.complete import candidates

            return "".join(f"{each}\n" for each in candidates(typed))
        case ["--print-completion-script", shell]:
            from lamina.tasks.complete import SCRIPTS

            return SCRIPTS.get(shell)
        case ["--help" | "-h", name] if name in COMMANDS:
            return command_help(COMMANDS[name])
    return None


def _run_with_invoke(words: Sequence[str]) -> int:
    from lamina.tasks.invoke_program import name_words, program

    try:
        program.run([sys.argv[0], *name_words(words)])
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    return 0
