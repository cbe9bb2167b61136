"""Usage errors, reported as any other error: with the nearest name, an exit code, and in JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, pairwise

from invoke.exceptions import Exit, ParseError
from invoke.parser.context import ParserContext

from lamina.errors import ConfigError, Problem, meant
from lamina.report.console import Screen
from lamina.tasks.commands import COMMANDS
from lamina.tasks.frame import program_name
from lamina.tasks.line import typed_names

_UNKNOWN = re.compile(r"No idea what '(.*)' is!", re.DOTALL)
_WITHOUT_VALUE = re.compile(r"Flag (?:'|<Argument: )([^' >]+).* needed value and was not given one!")
_LACKING = "did not receive required positional arguments"
_NOT_A_NUMBER = re.compile(r"invalid literal for int\(\) with base 10: '(.*)'", re.DOTALL)


@contextmanager
def usage_errors(argv: Sequence[str], tasks: Iterable[str], flags: Iterable[str]) -> Iterator[None]:
    """Report a command line that the parser rejects, and end with exit code 2.

    Args:
        argv: the whole command line.
        tasks: the names of all tasks.
        flags: the flags that need no task.
    """
    try:
        yield
    except ParseError as error:
        _end(argv, _problem(error, tuple(tasks), tuple(flags)))
    except ValueError as error:  # int() of a flag's value
        found = _NOT_A_NUMBER.match(str(error))
        what = f"{found[1]!r} is not a whole number" if found else str(error)
        task = next((word for word in argv[1:] if word in COMMANDS), None)
        where = _numbered(argv, task, found[1]) if found and task else task
        _end(argv, Problem(what=what, where=where, hint=_hint(task)))


def _end(argv: Sequence[str], problem: Problem) -> None:
    screen = Screen(as_json="--json" in argv, plain=True)
    screen.error(ConfigError(problem))
    screen.finish("usage", ok=False, images=[])
    raise Exit(code=ConfigError.exit_code)


def _problem(error: ParseError, tasks: tuple[str, ...], flags: tuple[str, ...]) -> Problem:
    context: ParserContext | None = error.context
    task = context.name if context and context.name in tasks else None
    hint = _hint(task)
    text = str(error)
    if unknown := _UNKNOWN.match(text):
        word = unknown[1]
        if word.startswith("-"):
            known = (*(context.flags if context and task else ()), *flags)
            what = f"{task or 'lamina'} has no flag {word}{meant(word, known)}"
        else:
            what = f"there is no task {word!r}{meant(word, tasks)}"
        return Problem(what=what, hint=hint)
    if unset := _WITHOUT_VALUE.match(text):
        return Problem(what=f"--{unset[1].lstrip('-')} needs a value", where=task, hint=hint)
    if task and _LACKING in text:
        needed = " and ".join(flag.name.upper() for flag in COMMANDS[task].flags if flag.positional)
        return Problem(what=f"{task} needs {needed}", hint=hint)
    return Problem(what=text, where=task, hint=hint)


def _numbered(argv: Sequence[str], task: str, value: str) -> str:
    """Return the task and the flag to which the command line gives a value that is not a number."""
    numbers = {name for name, (flag, _) in typed_names(COMMANDS[task]).items() if flag.kind is int}
    apart = {name: after for name, after in pairwise(argv) if name in numbers}
    joined = {name: after for name, _, after in (word.partition("=") for word in argv) if name in numbers}
    named = (name for given in (apart, joined) for name, after in given.items() if after == value)
    return ": ".join((task, *islice(named, 1)))


def _hint(task: str | None) -> str:
    return f"{program_name('lamina')} {f'--help {task}' if task else '--list'}"
