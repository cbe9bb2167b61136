"""Read a command line as Invoke reads it, without importing Invoke.

Only the usual is read: one command, its flags, and the words for one of them (``plan app``), which Invoke
does not know. Such a word is never another command: an image may be named like one. Everything else (several
tasks, Invoke's own flags, mistakes) is left to Invoke, which says what is wrong. A test compares both on
random command lines.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import field

from lamina.tasks.command import CliCommand, Flag, Given
from lamina.tasks.commands import COMMANDS
from lamina.values import dataclass

HELP = ("--help", "-h")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A command and the values of its flags, by flag name, or the wish to see its help."""

    command: CliCommand
    values: Mapping[str, Given]
    help: bool = False


def read_line(words: Sequence[str]) -> Call | None:
    """Return what the words of a command line call; None if Invoke has to read them."""
    if not words or words[0] not in COMMANDS or "--" in words:
        return None
    reader = _LineReader(COMMANDS[words[0]])
    return reader.read(deque(words[1:]))


def typed_names(command: CliCommand) -> dict[str, tuple[Flag, bool]]:
    """Return the flags as they are typed, short and long; False marks the form that turns one off."""
    typed: dict[str, tuple[Flag, bool]] = {}
    short = command.short_names
    for flag in command.flags:
        typed[f"--{flag.name}"] = (flag, True)
        if flag.name in short:
            typed[f"-{short[flag.name]}"] = (flag, True)
        if flag.default is True:
            typed[f"--no-{flag.name}"] = (flag, False)
    return typed


@dataclass(slots=True)
class _LineReader:
    """Invoke's parser for one task: the flag read last, and whether it still waits for its value."""

    command: CliCommand
    typed: dict[str, tuple[Flag, bool]] = field(init=False)
    values: dict[str, Given] = field(default_factory=dict)
    flag: Flag | None = None
    waiting: bool = False
    help: bool = False

    def __post_init__(self) -> None:
        self.typed = typed_names(self.command)

    def read(self, words: deque[str]) -> Call | None:
        while words:
            if self._gives_a_switch_a_value(words[0]) or not self._take(self._split(words)):
                return None
        if not self._complete() or (self._missing and not self.help):
            return None
        return Call(command=self.command, values=self.values, help=self.help)

    def _gives_a_switch_a_value(self, word: str) -> bool:
        known = self.typed.get(word.partition("=")[0]) if "=" in word and not self.waiting else None
        return known is not None and known[0].kind is bool

    def _split(self, words: deque[str]) -> str:
        """Take a word; if it is a flag with its value, or several short ones, put back all but the first."""
        word = words.popleft()
        first, rest = word, deque[str]()
        if word.startswith("-") and "=" in word:
            first, _, value = word.partition("=")
            rest.append(value)
        elif word.startswith("-") and not word.startswith("--") and len(word) > 2:
            first = word[:2]
            known = self.typed.get(first)
            takes = known is not None and known[0].kind is not bool
            rest.extend([word[2:]] if takes else [f"-{letter}" for letter in word[2:]])
        if self.waiting and not (self._optional and first in self.typed):
            return word
        words.extendleft(reversed(rest))
        return first

    @property
    def _optional(self) -> bool:
        return self.flag is not None and self.flag.bare is not None

    @property
    def _missing(self) -> Flag | None:
        needed = (flag for flag in self.command.flags if flag.positional and flag.name not in self.values)
        return next(needed, None)

    def _take(self, word: str) -> bool:
        """Read a word. Return False if it is not understood."""
        if word in self.typed:
            return self._switch_to(*self.typed[word])
        if self.waiting:
            return self.flag is not None and not self._ambiguous(word) and self._set(self.flag, word)
        if word in HELP:
            self.help = True
            return True
        if missing := self._missing:
            self.values[missing.name] = word
            return True
        return self._take_bare(word)

    def _take_bare(self, word: str) -> bool:
        """Give a word without a flag to the flag that takes such words. Return False if there is none."""
        flag = self.command.takes_words
        if flag is None or not word or word.startswith("-") or not self._complete():
            return False
        return (flag.kind is list or flag.name not in self.values) and self._set(flag, word)

    def _ambiguous(self, word: str) -> bool:
        """Whether a word after a flag with an optional value may be something else than that value."""
        return self._optional and (self._missing is not None or word in COMMANDS)

    def _switch_to(self, flag: Flag, on: bool) -> bool:
        if (self.waiting and self._ambiguous("")) or not self._complete():
            return False
        if flag.kind in {str, int} and flag.name in self.values:
            return False
        self.flag = flag
        if flag.kind is bool:
            self.values[flag.name] = on
        self.waiting = flag.kind is not bool
        return True

    def _complete(self) -> bool:
        """End the flag read last. Return False if it lacks its value."""
        if self.flag is not None and self.waiting:
            if not self._optional:
                return False
            self.values[self.flag.name] = True
        self.waiting = False
        return True

    def _set(self, flag: Flag, word: str) -> bool:
        """Give the flag its value. Return False if it is not of the flag's kind."""
        self.waiting = False
        before = self.values.get(flag.name)
        if flag.kind is list:
            self.values[flag.name] = [*(before if isinstance(before, list) else ()), word]
        elif flag.kind is int:
            try:
                self.values[flag.name] = int(word)
            except ValueError:
                return False
        else:
            self.values[flag.name] = word
        return True
