"""Completion for shells: commands, flags, and their values: images, runs, rules.

``lamina --print-completion-script=bash`` prints the script that calls this; the shell keeps what fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.errors import LaminaError
from lamina.tasks.command import Flag
from lamina.tasks.commands import COMMANDS
from lamina.tasks.line import HELP, typed_names

if TYPE_CHECKING:
    from lamina.declare.config import Project

_PROGRAM = ("--help", "--list", "--version")


def candidates(typed: Sequence[str]) -> list[str]:
    """Return what may follow the words after ``lamina``, of which the last may be incomplete."""
    command = COMMANDS.get(typed[0]) if typed else None
    if command is None:
        return [*_PROGRAM, *COMMANDS]
    names = typed_names(command)
    waiting = [names[word][0] for word in typed[-2:] if word in names and names[word][0].kind is not bool]
    values = [value for flag in waiting for value in _values(flag)]
    if typed[-1] in names and waiting:
        return values
    words = command.takes_words or next((flag for flag in command.flags if flag.positional), None)
    return [*dict.fromkeys((*values, *(_values(words) if words else ()), *names, HELP[0]))]


def _values(flag: Flag) -> Iterable[str]:
    find = _KNOWN.get(flag.name)
    try:
        return find() if find else ()
    except (LaminaError, OSError):
        return ()


def _images() -> Iterable[str]:
    return _project().images


def _runs() -> Iterable[str]:
    from lamina.report.history import run_ids

    return run_ids(_project().state)


def _rules() -> Iterable[str]:
    from lamina.lint.registry import RULES

    return (name for rule in RULES for name in (rule.id, rule.slug))


def _project() -> Project:
    from lamina.declare.config import find_root, load_project

    return load_project(find_root(Path.cwd()))


_KNOWN: Mapping[str, Callable[[], Iterable[str]]] = {
    "image": _images,
    "run": _runs,
    "rule": _rules,
    "select": _rules,
    "ignore": _rules,
}
"""A flag -> what finds its values."""
