"""Calls of uv, Poetry, PDM and Pipenv in the steps of an image that install a project or packages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lamina.declare.script import ShellCommand, Word, call_of

_GLOBAL_VALUED = frozenset(
    {"--directory", "--project", "--cache-dir", "--config-file", "-C", "-p", "--color"}
)
CACHES: Mapping[str, str] = {
    "uv": "/root/.cache/uv",
    "poetry": "/root/.cache/pypoetry",
    "pdm": "/root/.cache/pdm",
    "pipenv": "/root/.cache/pipenv",
}
"""Tool -> the cache of root."""
CACHE_VARIABLES = frozenset(
    {"HOME", "XDG_CACHE_HOME", "UV_CACHE_DIR", "POETRY_CACHE_DIR", "PDM_CACHE_DIR", "PIPENV_CACHE_DIR"}
)
_INSTALLING = {
    "uv": ("sync",),
    "poetry": ("install", "sync"),
    "pdm": ("install", "sync"),
    "pipenv": ("install", "sync"),
}
_WITHOUT_CODE = ("--no-install-project", "--no-install-workspace", "--no-root", "--no-self", "--only-deps")
"""Options that install the dependencies of a project only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolInstall:
    """An install by a tool.

    Attributes:
        project: Whether it installs what the project in the working folder locks, not named packages.
        word: The last word of the subcommand: `sync` in ``uv pip sync``.
        options: The words behind it.
    """

    command: ShellCommand
    tool: str
    project: bool
    word: Word
    options: tuple[Word, ...]

    @property
    def name(self) -> str:
        """The call in words: ``uv pip install``."""
        pip = "" if self.project or self.tool != "uv" else "pip "
        return f"{self.tool} {pip}{self.word.text}"

    @property
    def with_code(self) -> bool:
        """Whether it installs the project's own code as well."""
        return self.project and self.tool != "pipenv" and not self.has(*_WITHOUT_CODE)

    def has(self, *names: str) -> bool:
        """Whether one of these options is given."""
        return any(word.text.partition("=")[0] in names for word in self.options)

    def flags(self, *names: str) -> tuple[Word, ...]:
        """Return the words of options that take no value."""
        return tuple(word for word in self.options if word.text in names)


def read_tool_install(command: ShellCommand) -> ToolInstall | None:
    """Return the install by uv, Poetry, PDM or Pipenv in a command, or None for any other command."""
    tool, words = call_of(command)
    if tool not in CACHES:
        return None
    rest = _subcommand(words)
    if not rest:
        return None
    if tool == "uv" and rest[0].text == "pip" and len(rest) > 1 and rest[1].text in {"install", "sync"}:
        return ToolInstall(command=command, tool=tool, project=False, word=rest[1], options=tuple(rest[2:]))
    if rest[0].text in _INSTALLING[tool]:
        return ToolInstall(command=command, tool=tool, project=True, word=rest[0], options=tuple(rest[1:]))
    return None


def _subcommand(words: Sequence[Word]) -> Sequence[Word]:
    """Return the words from the subcommand on, without the options before it."""
    at = 0
    while at < len(words) and words[at].text.startswith("-"):
        at += 2 if words[at].text in _GLOBAL_VALUED else 1
    return words[at:]
