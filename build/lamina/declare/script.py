"""The shell text of a RUN as written: its commands and words with their positions.

It understands only as much shell as it takes to edit plain chains of commands. Commands in an ``if``, a loop,
a group or a pipe are read but marked. Comments between continuation lines count as blanks.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Iterator
from itertools import takewhile

from lamina.declare.dockerfile import Dockerfile, Instruction
from lamina.patterns import regex
from lamina.values import dataclass

_ORDINARY = regex(r"[\w./:=@,+%~-]+")
"""Characters that mean nothing to a shell inside a word."""
_OPERATOR = regex(r"&&|\|\||;;|[;|&()\n]")
_OPENS = frozenset({"if", "for", "while", "until", "case", "{"})
_CLOSES = frozenset({"fi", "done", "esac", "}"})
_LEADS = frozenset({"if", "then", "else", "elif", "do", "while", "until", "{", "!"})
_BEFORE_CALLS = frozenset({"then", "exec", "else", "do"})
_ASSIGNMENT = regex(r"[A-Za-z_]\w*=")
_PYTHON = regex(r"python(?:3(?:\.\d+)?)?")
_PLAIN = frozenset({"", "&&", ";", "\n"})
_SHELLS = (("/bin/sh", "-c"), ("sh", "-c"), ("/bin/bash", "-c"), ("bash", "-c"))
_IDLE = frozenset({"[", "test", "export", "set", "fi", "then", "else", "if", "true", ":"})
Replacement = tuple[int, int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word without its quotes, and its position in the text. quoted: whether it had quotes."""

    text: str
    start: int
    end: int
    quoted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellCommand:
    """A simple command.

    Attributes:
        before: The operator before it, empty at the start; `after` is the one behind it.
        top: Whether it is outside any ``if``, loop, group or pipe.
    """

    words: tuple[Word, ...]
    before: str
    after: str
    top: bool

    @property
    def start(self) -> int:
        """The position of its first word."""
        return self.words[0].start

    @property
    def end(self) -> int:
        """The position after its last word."""
        return self.words[-1].end

    @property
    def idle(self) -> bool:
        """Whether it only tests, or sets variables for later commands."""
        texts = [word.text for word in self.words]
        while texts and texts[0] in _LEADS:
            del texts[0]
        return not texts or texts[0] in _IDLE


def call_of(command: ShellCommand) -> tuple[str, list[Word]]:
    """Return the name of the program that a command calls, and its arguments; ``python -m x`` calls x.

    Assignments and the shell's own words before the program are left out. Empty if there is no program.
    """
    words = [*command.words]
    while words and (_ASSIGNMENT.match(words[0].text) or words[0].text in _BEFORE_CALLS):
        del words[0]
    if len(words) > 2 and _PYTHON.fullmatch(_name(words[0])) and words[1].text == "-m":
        del words[:2]
    return (_name(words[0]) if words else ""), words[1:]


def _name(word: Word) -> str:
    return word.text.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The text of a step. start: the position of the first command, after RUN and its flags."""

    text: str
    start: int
    commands: tuple[ShellCommand, ...]
    editable: bool
    """Whether the text is the file's own, line for line."""

    def without(self, dropped: Collection[ShellCommand]) -> list[Replacement] | None:
        """Return edits that remove these commands, or None if a comment or an operator prevents it."""
        spans: list[Replacement] = []
        kept: ShellCommand | None = None
        run: list[ShellCommand] = []
        for each in (*self.commands, None):
            if each is not None and each in dropped:
                run.append(each)
                continue
            if run:
                if any({one.before, one.after} - _PLAIN for one in run):
                    return None
                if kept is None and each is None:
                    return None
                if kept is None or (each is not None and each.before == "&&"):
                    span = (run[0].start, each.start if each else run[-1].end)
                else:
                    span = (kept.end, run[-1].end)
                if "#" in self.text[slice(*span)]:
                    return None
                spans.append((*span, ""))
            kept, run = each, []
        return spans

    def without_words(self, command: ShellCommand, dropped: Collection[Word]) -> Iterator[Replacement]:
        """Yield edits that remove words from a command, with the blanks before them."""
        for before, word in zip(command.words, command.words[1:], strict=False):
            if word in dropped:
                comment = "#" in self.text[before.end : word.start]
                yield (word.start if comment else before.end, word.end, "")

    def edited(self, replacements: Iterable[Replacement]) -> tuple[str, ...]:
        """Return the lines of the text after the replacements, which must not overlap."""
        text = self.text
        for start, end, new in sorted(replacements, reverse=True):
            text = text[:start] + new + text[end:]
        return tuple(line.removesuffix("\r") for line in text.split("\n"))


def read_script(dockerfile: Dockerfile, instruction: Instruction) -> Script:
    """Read the script of a RUN. The JSON form has no commands."""
    escape = next((each[-1] for each in dockerfile.directives if each.startswith("escape=")), "\\")
    if instruction.json:
        return Script(text="", start=0, commands=(), editable=False)
    if instruction.heredocs:
        text = "\n".join(each.content for each in instruction.heredocs)
        return Script(text=text, start=0, commands=tuple(_commands(text, 0, escape)), editable=False)
    text = "\n".join(dockerfile.text.split("\n")[instruction.line - 1 : instruction.end])
    words = list(_tokens(text, 0, escape))
    flags = [words[0], *takewhile(_is_flag, words[1:])]
    start = flags[-1].end if isinstance(flags[-1], Word) else len(text)
    if len(words) > len(flags) and isinstance(first := words[len(flags)], Word):
        start = first.start
    commands = tuple(_commands(text, start, escape))
    return Script(text=text, start=start, commands=commands, editable=True)


def read_argv(instruction: Instruction) -> Script | None:
    """Read the JSON form of a RUN, which cannot be edited as a script; None for another form."""
    if not instruction.json:
        return None
    if instruction.words[:2] in _SHELLS:
        text = " ".join(instruction.words[2:3])
        return Script(text=text, start=0, commands=tuple(_commands(text, 0, "\\")), editable=False)
    words = tuple(Word(text=each, start=0, end=0, quoted=True) for each in instruction.words)
    command = ShellCommand(words=words, before="", after="", top=True)
    return Script(text="", start=0, commands=(command,) if words else (), editable=False)


def _is_flag(token: Word | str) -> bool:
    return isinstance(token, Word) and token.text.startswith("--")


def _commands(text: str, start: int, escape: str) -> Iterator[ShellCommand]:
    depth, before = 0, ""
    words: list[Word] = []
    for token in (*_tokens(text, start, escape), ""):
        if isinstance(token, Word):
            words.append(token)
            continue
        if words:
            head = words[0].text
            depth += head in _OPENS
            plain = before in _PLAIN and token in _PLAIN
            yield ShellCommand(words=tuple(words), before=before, after=token, top=depth == 0 and plain)
            depth -= head in _CLOSES
        depth += {"(": 1, ")": -1}.get(token, 0)
        before, words = token, []


def _tokens(text: str, at: int, escape: str) -> Iterator[Word | str]:
    """Yield words and operators."""
    sign = re.escape(escape)
    gap = re.compile(rf"(?:[ \t\r]|{sign}[ \t]*\r?\n(?:[ \t]*(?:#[^\n]*)?\r?\n)*(?:[ \t]*#[^\n]*\n)*)+")
    while at < len(text):
        if found := gap.match(text, at):
            at = found.end()
        elif found := _OPERATOR.match(text, at):
            yield found.group()
            at = found.end()
        else:
            start = at
            while at < len(text) and not gap.match(text, at) and not _ends_word(text, at):
                ordinary = _ORDINARY.match(text, at)
                at = ordinary.end() if ordinary else _past(text, at)
            raw = text[start:at]
            yield Word(text=_unquoted(raw), start=start, end=at, quoted=raw[:1] in {"'", '"'})


def _ends_word(text: str, at: int) -> bool:
    redirected = text[at] == "&" and (text[at - 1] in "<>" or text[at + 1 : at + 2] == ">")
    return not redirected and _OPERATOR.match(text, at) is not None


def _past(text: str, at: int) -> int:
    """Return the position after a character, a quoted part or a substitution."""
    sign = text[at]
    if sign == "\\":
        return at + 2
    if sign in "'`":
        end = text.find(sign, at + 1)
        return end + 1 if end >= 0 else len(text)
    if sign == '"':
        found = re.compile(r'"(?:\\.|[^"\\])*"?', re.DOTALL).match(text, at)
        return found.end() if found else at + 1
    if text.startswith("$(", at):
        depth, at = 1, at + 2
        while at < len(text) and depth:
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at += 1
        return at
    return at + 1


def _unquoted(raw: str) -> str:
    if _ORDINARY.fullmatch(raw):
        return raw
    try:
        return " ".join(shlex.split(raw)) or raw
    except ValueError:
        return raw
