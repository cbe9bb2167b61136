"""A command of `lamina`, its flags and exit codes, as values; `lamina.tasks.table` has those there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Literal

from lamina.values import dataclass

Given = str | int | bool | list[str] | None
"""The value of a flag: of its kind, or its default."""
FINDINGS = 6
"""Exit code: `lint` found something, or `ignore --check` did."""
NOT_EMPTY = 7
"""Exit code of a check: there is something to do, or to deploy."""
TABLE = "table"
"""The format of a plan for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A flag of a command.

    Attributes:
        name: As typed, without dashes.
        kind: What a value is; a bool takes none, a list may be given several times.
        default: The value if the flag is not given.
        bare: The value if the flag is given without one; None: it needs one.
        goes_to: Who gets the value: the configuration (False counts as not given), the other fields of
            `Flags`, the screen, or the function that runs the command.
        field: The name of the field or parameter that gets it; by default the flag's own.
        positional: Whether the command needs it, and takes it without its name too.
        short: Whether it gets a short name.
    """

    name: str
    help: str
    kind: type[str] | type[int] | type[bool] | type[list[str]] = str
    default: str | int | bool | None = None
    bare: str | bool | None = None
    goes_to: Literal["setting", "flags", "screen", "command"] = "command"
    field: str = ""
    positional: bool = False
    short: bool = True

    @property
    def parameter(self) -> str:
        """The name of the field or parameter."""
        return self.field or self.name.replace("-", "_")

    @property
    def initial(self) -> Given:
        """The value if the flag is not given; each call has its own list."""
        return [] if self.kind is list else self.default


def text(name: str, help: str, *, default: str | None = None, field: str = "") -> Flag:  # noqa: A002
    """Return a flag of one command that takes a value."""
    return Flag(name=name, help=help, default=default, field=field)


def number(name: str, default: int, help: str) -> Flag:  # noqa: A002
    """Return a flag of one command that takes a whole number."""
    return Flag(name=name, help=help, kind=int, default=default)


def switch(name: str, help: str, *, field: str = "", default: bool = False) -> Flag:  # noqa: A002
    """Return a flag of one command that is on or off; ``--no-…`` turns off one that is on by default."""
    return Flag(name=name, help=help, kind=bool, default=default, field=field)


def repeated(name: str, help: str) -> Flag:  # noqa: A002
    """Return a flag of one command that may be given several times."""
    return Flag(name=name, help=help, kind=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class CliCommand:
    """A command of `lamina`, which is also a task of Invoke.

    Attributes:
        name: With its group and a dot before it, if it has one.
        runs: ``module:function`` below `lamina.tasks`. The function gets the session, and by name the flags
            that go to the command; it returns the exit code.
        help: One line; after an empty line there may be more.
        flags: In the order in which they choose their short names.
        fixed: Fields of `Flags` that the command sets itself.
        prints_json: Whether standard output gets the JSON object alone, from the flags' values by name.
        only_result: Whether standard output gets the result alone, and messages to people go to standard
            error.
        words: The flag that takes the words after the command: ``plan a b`` is ``plan --image a --image b``.
            Only `lamina` reads them, Invoke does not.
    """

    name: str
    runs: str
    help: str
    flags: tuple[Flag, ...] = ()
    fixed: Mapping[str, bool] = field(default_factory=dict)
    prints_json: Callable[[Mapping[str, object]], bool] = lambda given: bool(given.get("json"))
    only_result: Callable[[Mapping[str, object]], bool] = lambda _: False
    words: str = "image"

    @property
    def takes_words(self) -> Flag | None:
        """The flag that takes the words after the command; None if there is none or it is required."""
        return next((each for each in self.flags if each.name == self.words and not each.positional), None)

    @property
    def reads_words(self) -> bool:
        """Whether words after it are values, and never another command."""
        return self.takes_words is not None or any(each.positional for each in self.flags)

    @property
    def summary(self) -> str:
        """The first line of the help."""
        return self.help.partition("\n")[0]

    @property
    def short_names(self) -> Mapping[str, str]:
        """Flag -> its short name: its first letter that none before it has; ``-h`` is help everywhere."""
        chosen: dict[str, str] = {}
        for flag in (each for each in self.flags if each.short):
            free = (each for each in flag.name if each not in {"-", "h", *chosen.values()})
            if short := next(free, None):
                chosen[flag.name] = short
        return chosen
