"""Commands of a RUN that read ``uv.lock`` in its folder: what they may install from it.

Only commands that are known word by word count. An unknown option or program could read anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from lamina.declare.pip import read_install
from lamina.declare.script import ShellCommand
from lamina.declare.uv_lock import Selection
from lamina.patterns import regex
from lamina.values import dataclass

_ASSIGNMENT = regex(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_PYTHON = regex(r"(?:.*/)?python(?:3(?:\.\d+)?)?")
_REDIRECT = regex(r"\d?>{1,2}(?:&\d)?(.*)")
_LEADS = frozenset({"if", "then", "else", "elif", "do", "exec", "!"})
_HARMLESS = frozenset(
    {"rm", "mkdir", "find", "echo", "set", "true", ":", "chmod", "test", "[", "fi", "exit", "export", "else"}
)
_GREP = regex(r"-[Ffivwx]+|/[\w.-]+(?:/[\w.-]+)*")
"""Words of a grep that reads only the files it names."""
_EXEC = frozenset({"-exec", "-execdir", "-ok", "-okdir"})
_OTHER_TASKS = frozenset({"venv", "cache", "python", "--version"})
"""Subcommands of uv that read no lock."""
_ON = frozenset({"1", "true", "yes", "on"})
# fmt: off
_FLAGS = frozenset({
    "--frozen", "--locked", "--no-install-project", "--no-install-workspace", "--no-install-local",
    "--no-emit-project", "--no-emit-workspace", "--no-emit-local", "--no-editable", "--inexact", "--exact",
    "--no-hashes", "--no-header", "--no-annotate", "--compile-bytecode", "--no-compile-bytecode", "--compile",
    "--no-cache", "-n", "--quiet", "-q", "--verbose", "-v", "--no-progress", "--no-build", "--no-binary",
    "--managed-python", "--no-managed-python", "--no-python-downloads", "--offline", "--native-tls",
    "--system-certs", "--active", "--no-config", "--no-default-groups", "--no-dev",
})
_VALUED = frozenset({
    "--no-install-package", "--no-emit-package", "--prune", "--no-group", "--no-extra", "--output-file", "-o",
    "--format", "--link-mode", "--python", "-p", "--python-platform", "--color", "--cache-dir",
    "--no-build-package", "--no-binary-package", "--index-strategy", "--keyring-provider", "--package",
})
_MORE_GROUPS = frozenset({"--dev", "--all-groups", "--only-dev"})
_MORE_GROUPS_VALUED = frozenset({"--group", "--only-group"})
_WITHOUT_PROJECT = frozenset({"--no-install-project", "--no-emit-project"})
_WITHOUT_LOCAL = frozenset({
    "--no-install-workspace", "--no-install-local", "--no-emit-workspace", "--no-emit-local",
})
_TAME = regex(
    "UV_(?:COMPILE_BYTECODE(?:_TIMEOUT)?|LINK_MODE|NO_INSTALLER_METADATA|CACHE_DIR|FROZEN|LOCKED|NO_DEV|"
    "PROJECT_ENVIRONMENT|PYTHON(?:_DOWNLOADS|_PREFERENCE|_INSTALL_DIR|_BIN_DIR|_CACHE_DIR|_INSTALL_MIRROR)?|"
    "(?:NO_)?MANAGED_PYTHON|SYSTEM_PYTHON|BREAK_SYSTEM_PACKAGES|NO_CACHE|NO_PROGRESS|NO_WRAP|NO_MODIFY_PATH|OFFLINE|"
    "HTTP_TIMEOUT|HTTP_CONNECT_TIMEOUT|REQUEST_TIMEOUT|HTTP_RETRIES|LOCK_TIMEOUT|CONCURRENT_\\w+|INDEX\\w*|"
    "DEFAULT_INDEX|EXTRA_INDEX_URL|FIND_LINKS|INSECURE_HOST|NATIVE_TLS|SYSTEM_CERTS|KEYRING_PROVIDER|VERSION|"
    "INSTALL_DIR|UNMANAGED_INSTALL|TOOL_\\w+|TARGET)"
)
"""Variables that choose where and how uv installs, not what it takes from a lock.

https://docs.astral.sh/uv/reference/environment/
"""
# fmt: on


class UnprovedError(Exception):
    """What a command reads is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockUse:
    """What commands take from a lock.

    Attributes:
        frozen: Whether uv takes the lock as it is, without comparing it with the project files.
        without_project: Whether the project itself is not installed.
        only_outside: Whether no local project is installed, so nothing is built from project files.
    """

    selection: Selection
    frozen: bool
    without_project: bool
    only_outside: bool

    def plus(self, other: LockUse) -> LockUse:
        """Return the use by both."""
        return LockUse(
            selection=self.selection.plus(other.selection),
            frozen=self.frozen and other.frozen,
            without_project=self.without_project and other.without_project,
            only_outside=self.only_outside and other.only_outside,
        )


def lock_uses(commands: Iterable[ShellCommand], environment: Mapping[str, str | None]) -> Iterator[LockUse]:
    """Yield what each command takes from the lock in its folder. Raises UnprovedError.

    environment: the variables that ENV and ARG set; None: to an unknown value.
    """
    for command in commands:
        use = _use([word.text for word in command.words], command, environment)
        if use is not None:
            yield use


def _use(words: list[str], command: ShellCommand, environment: Mapping[str, str | None]) -> LockUse | None:
    if any("$(" in word or "`" in word or "<" in word for word in words):
        raise UnprovedError
    local: dict[str, str | None] = dict(environment)
    while words and (words[0] in _LEADS or _ASSIGNMENT.fullmatch(words[0])):
        if assigned := _ASSIGNMENT.fullmatch(words[0]):
            local[assigned[1]] = assigned[2]
        del words[0]
    check_variables(local)
    words = list(_without_redirects(words))
    if not words:
        return None
    if _PYTHON.fullmatch(words[0]) and words[1:3] == ["-m", "uv"]:
        words = words[2:]
    if words[0].rpartition("/")[2] == "uv":
        return _use_of_uv(words[1:], local)
    install = read_install(command)
    compiles = _PYTHON.fullmatch(words[0]) and words[1:3] == ["-m", "compileall"]
    filters = words[0] == "grep" and all(_GREP.fullmatch(word) for word in words[1:])
    known = words[0] in _HARMLESS or compiles or filters
    if not known and (install is None or install.folders):
        raise UnprovedError
    if any(first in _EXEC and then not in _HARMLESS for first, then in pairwise(words)):
        raise UnprovedError
    if any(_names_project(word) for word in words[1:]) or (words[0] == "export" and "UV_" in " ".join(words)):
        raise UnprovedError
    return None


def check_variables(environment: Iterable[str]) -> None:
    """Raise UnprovedError if a variable may change what uv takes from a lock."""
    if any(name.startswith("UV_") and not _TAME.fullmatch(name) for name in environment):
        raise UnprovedError


def _without_redirects(words: Sequence[str]) -> Iterator[str]:
    target = False
    for word in words:
        redirect = _REDIRECT.fullmatch(word)
        if redirect is None and not target:
            yield word
        elif _names_project(redirect[1] if redirect else word):
            raise UnprovedError
        target = redirect is not None and not redirect[1] and "&" not in word


def _names_project(word: str) -> bool:
    """Whether a word may name the folder of the lock, or a file in it that counts."""
    bare = word.partition("[")[0].rstrip("/")
    return bare in {".", "..", "*", "$PWD", "./*"} or "uv.lock" in word or "pyproject.toml" in word


def _use_of_uv(words: Sequence[str], environment: Mapping[str, str | None]) -> LockUse | None:
    while words and words[0] in _FLAGS:
        words = words[1:]
    if not words:
        raise UnprovedError
    if words[0] == "pip" and words[1:2] in (["install"], ["sync"]):
        if any(_names_project(word) for word in words[2:]) or {"-e", "--editable"} & set(words):
            raise UnprovedError
        return None
    if words[0] in _OTHER_TASKS:
        return None
    if words[0] not in {"sync", "export"}:
        raise UnprovedError
    return _installs_from_lock(words[1:], environment)


def _installs_from_lock(words: Sequence[str], environment: Mapping[str, str | None]) -> LockUse:
    options = list(_options(words))
    names = {name for name, _ in options}
    selection = Selection(
        members=frozenset(_normal(value) for name, value in options if name == "--package"),
        groups="none" if "--no-default-groups" in names else "all",
        extras=not names.isdisjoint({"--extra", "--all-extras"}),
    )
    if "--no-dev" in names or _is_on(environment.get("UV_NO_DEV", "")):
        selection = replace(selection, groups="none" if selection.groups == "none" else "all but dev")
    if names & (_MORE_GROUPS | _MORE_GROUPS_VALUED):
        selection = replace(selection, groups="all, and of the root")
    if any("$" in member for member in selection.members):
        raise UnprovedError
    return LockUse(
        selection=selection,
        frozen="--frozen" in names or ("--locked" not in names and _is_on(environment.get("UV_FROZEN", ""))),
        without_project=not names.isdisjoint(_WITHOUT_PROJECT | _WITHOUT_LOCAL),
        only_outside=not names.isdisjoint(_WITHOUT_LOCAL),
    )


def _normal(name: str) -> str:
    """Return the name of a package as locks write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the name and value of each option. Raises UnprovedError if one is unknown."""
    at = 0
    while at < len(words):
        name, given, value = words[at].partition("=")
        at += 1
        if name in _VALUED | _MORE_GROUPS_VALUED | {"--extra"}:
            if not given:
                value = words[at] if at < len(words) else ""
                at += 1
        elif given or name not in _FLAGS | _MORE_GROUPS | {"--all-extras"}:
            raise UnprovedError
        yield name, value


def _is_on(value: str | None) -> bool:
    return value is not None and value.lower() in _ON
