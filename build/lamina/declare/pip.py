"""Calls of pip in the steps of an image: the packages they install and their sources."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lamina.declare.script import ShellCommand, Word, call_of
from lamina.patterns import regex
from lamina.values import dataclass

_PIP = regex(r"pip(?:3(?:\.\d+)?)?")
_SHORT = regex(r"-[A-Za-z].+")
# fmt: off
_VALUED = frozenset({
    "-r", "--requirement", "-c", "--constraint", "-t", "--target", "-i", "--index-url", "--extra-index-url",
    "-f", "--find-links", "--platform", "--python-version", "--implementation", "--abi", "--root", "--prefix",
    "--src", "--cache-dir", "--timeout", "--retries", "--proxy", "--trusted-host", "--cert", "--client-cert",
    "--no-binary", "--only-binary", "--progress-bar", "--root-user-action", "--upgrade-strategy", "--report",
    "--log", "--python", "--config-settings", "-C", "-e", "--editable", "-d", "--use-feature",
    "--link-mode", "--python-platform", "--index-strategy", "--keyring-provider",
})
# fmt: on


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option and its value, if any. name: without the value."""

    name: str
    value: str | None
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Install:
    """One ``pip install``. install: the word itself. named: requirements, folders and files given by name."""

    command: ShellCommand
    install: Word
    options: tuple[Option, ...]
    named: tuple[Word, ...]

    def values(self, *names: str) -> tuple[str, ...]:
        """Return the values of an option, under any of its names."""
        return tuple(each.value or "" for each in self.options if each.name in names)

    def flags(self, *names: str) -> tuple[Word, ...]:
        """Return the words of options that take no value."""
        return tuple(each.words[0] for each in self.options if each.name in names)

    @property
    def folders(self) -> tuple[Word, ...]:
        """The named items that are paths, with their extras as written."""
        return tuple(word for word in self.named if is_path(word.text))

    @property
    def requirements(self) -> tuple[Word, ...]:
        """The named items that come from a package index."""
        return tuple(word for word in self.named if not is_path(word.text) and not _is_redirect(word.text))


def is_path(text: str) -> bool:
    """Whether pip reads this text as a folder or a file."""
    bare = text.partition("[")[0]
    return "://" not in text and " @ " not in text and (bare.startswith(".") or "/" in bare)


def _is_redirect(text: str) -> bool:
    return re.match(r"\d?[<>]", text) is not None


def read_install(command: ShellCommand) -> Install | None:
    """Return the ``pip install`` in a command, or None for any other command."""
    program, rest = call_of(command)
    return _install(command, rest) if _PIP.fullmatch(program) else None


def read_uv_install(command: ShellCommand) -> Install | None:
    """Return the ``uv pip install`` in a command, or None for any other command."""
    program, rest = call_of(command)
    return _install(command, rest[1:]) if program == "uv" and rest and rest[0].text == "pip" else None


def _install(command: ShellCommand, rest: list[Word]) -> Install | None:
    at = next((index for index, each in enumerate(rest) if each.text == "install"), None)
    if at is None:
        return None
    before, after = tuple(_options(rest[:at])), tuple(_options(rest[at + 1 :]))
    if any(isinstance(each, Word) for each in before):  # another subcommand
        return None
    return Install(
        command=command,
        install=rest[at],
        options=tuple(each for each in (*before, *after) if isinstance(each, Option)),
        named=tuple(each for each in after if isinstance(each, Word)),
    )


def _options(words: list[Word]) -> Iterator[Option | Word]:
    waiting: Word | None = None
    for word in words:
        if waiting is not None:
            yield Option(name=waiting.text, value=word.text, words=(waiting, word))
            waiting = None
        elif not word.text.startswith("-"):
            yield word
        elif word.text in _VALUED:
            waiting = word
        elif word.text.startswith("--"):
            name, given, value = word.text.partition("=")
            yield Option(name=name, value=value if given else None, words=(word,))
        elif _SHORT.fullmatch(word.text) and word.text[:2] in _VALUED:
            yield Option(name=word.text[:2], value=word.text[2:], words=(word,))
        else:
            yield Option(name=word.text, value=None, words=(word,))
