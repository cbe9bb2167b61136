"""Completion for shells: commands, flags, and their values: images, runs, rules.

``lamina --print-completion-script=bash`` prints the script that calls this with the words up to the cursor,
of which the last may be empty. The shell keeps what fits.
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
SCRIPTS = {
    "bash": """\
_complete_lamina() {
    local IFS=$'\\n'
    COMPREPLY=($(compgen -W "$(lamina --complete -- "${COMP_WORDS[@]:0:COMP_CWORD+1}" 2>/dev/null)" -- "$2"))
}
complete -o default -F _complete_lamina lamina
""",
    "zsh": """\
#compdef lamina
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
_lamina() {
    local -a found
    found=(${(f)"$(lamina --complete -- "${(@Q)words[1,CURRENT]}" 2>/dev/null)"})
    if (( $#found )); then compadd -a found; else _files; fi
}
compdef _lamina lamina
""",
    "fish": """\
function __complete_lamina
    lamina --complete -- (commandline -co) (commandline -ct)
end
complete --command lamina --no-files --arguments '(__complete_lamina)'
""",
}
"""Shell -> the script that completes ``lamina`` in it."""


def candidates(typed: Sequence[str]) -> list[str]:
    """Return what the last of the words after ``lamina`` may become. Flags come when it begins like one."""
    *before, current = typed or ("",)
    before, current = [each for each in before if each != "="], current.lstrip("=")  # bash: --image = a
    command = COMMANDS.get(before[0]) if before else None
    if command is None:
        return [*COMMANDS] if before and before[-1] in HELP else [*_PROGRAM, *COMMANDS]
    names = typed_names(command)
    flag = names[before[-1]][0] if before[-1] in names else None
    if flag is not None and flag.kind is not bool and not (flag.bare and current.startswith("-")):
        return [*_values(flag)]
    name, has_value, _ = current.partition("=")
    if has_value and name in names:
        return [f"{name}={each}" for each in _values(names[name][0])]
    words = command.takes_words or next((flag for flag in command.flags if flag.positional), None)
    if words is None or current.startswith("-"):
        return [*names, HELP[0]]
    return [each for each in _values(words) if each not in before]


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
