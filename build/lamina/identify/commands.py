"""Classify the commands of a RUN: those that install packages, and those that may write code unseen.

An unknown program may write anything anywhere, so the contents of the image are uncertain after it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping

from lamina.declare.dockerfile import Dockerfile, Instruction
from lamina.declare.expand import ExpansionError, UnknownVariableError, expand
from lamina.declare.pip import Install, read_install, read_uv_install
from lamina.declare.script import ShellCommand, read_script
from lamina.patterns import regex
from lamina.values import dataclass

_LEADS = frozenset(
    {"if", "then", "else", "elif", "do", "while", "until", "{", "!", "exec", "sudo", "time", "nice", "&&"}
)
_ASSIGNMENT = regex(r"[A-Za-z_]\w*=")
_REDIRECT = regex(r"(?:\d|&)?>{1,2}\|?(.*)", re.DOTALL)
_GLUED = regex(r"[^<>\"'=$`(]+>{1,2}([^&=].*)", re.DOTALL)
_PLAIN_HEREDOC = regex(r"(?:\d*<<-?[\"']?\w+[\"']?\s*)+")
_CODE = (".py", ".pth", ".so", ".pyc", ".zip", ".whl")
# fmt: off
_HARMLESS = frozenset({
    "rm", "rmdir", "mkdir", "touch", "chmod", "chown", "chgrp", "echo", "printf", "test", "[", "[[",
    "true", ":", "false", "set", "export", "unset", "cd", "pushd", "popd", "pwd", "ls", "cat", "head",
    "tail", "grep", "egrep", "wc", "sort", "uniq", "cut", "tr", "sleep", "exit", "umask", "shopt",
    "ulimit", "date", "uname", "whoami", "id", "which", "type", "command", "ldconfig", "update-ca-trust",
    "update-ca-certificates", "useradd", "groupadd", "adduser", "addgroup", "usermod", "dnf", "yum",
    "microdnf", "apt-get", "apt", "apk", "rpm", "apt-key", "dpkg", "localedef", "locale-gen", "strip",
    "du", "df", "sync", "fi", "done", "esac", "then", "else", "for", "case", "in", "file", "stat",
    "sha256sum", "md5sum", "gpg", "nproc", "}", "readlink", "basename", "dirname", "amazon-linux-extras",
    "yum-config-manager", "update-alternatives", "alternatives", "playwright",
})
_PROJECT_TOOLS = frozenset({"uv", "poetry", "pdm", "pipenv", "hatch"})
_ONLY_ASK = frozenset({
    "export", "lock", "venv", "cache", "python", "tool", "self", "config", "check", "add", "build", "version",
    "--version", "env", "tree", "help",
})
# fmt: on
_MOVERS = frozenset({"cp", "mv", "ln", "install", "rsync"})
_WITHOUT_LOCAL = (
    frozenset({"--no-emit-workspace"}),
    frozenset({"--no-emit-local"}),
    frozenset({"--no-install-workspace"}),
    frozenset({"--no-install-local"}),
    frozenset({"--no-root"}),
)
_QUIET_PIP = frozenset(
    {"uninstall", "cache", "config", "list", "freeze", "show", "check", "wheel", "download"}
)
_QUIET_MODULES = frozenset({"compileall", "venv", "ensurepip", "site", "pip"})
_WRITES = regex(r"write|subprocess|shutil|\bos\b")
_PYTHON = regex(r"python(?:3(?:\.\d+)?)?")
_PIP = regex(r"pip(?:3(?:\.\d+)?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installing:
    """A call of pip or ``uv pip``. folder: its working directory, an image path."""

    call: Install
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """A command that may write code where the function can import it. text: as written."""

    text: str


Effect = Installing | Writing


def effects(
    dockerfile: Dockerfile,
    instruction: Instruction,
    *,
    workdir: str,
    scope: Mapping[str, str | None],
    is_code: Callable[[str], bool],
) -> Iterator[Effect]:
    """Yield the effects of a RUN, command by command. is_code: whether code may be imported from a path."""
    text = " ".join(instruction.words)
    if instruction.heredocs and not (_PLAIN_HEREDOC.fullmatch(text) and _is_shell(instruction)):
        yield Writing(text=text)
        return
    if instruction.json:
        words = [*instruction.words]
        if not _is_quiet(words, workdir, scope, is_code):
            yield Writing(text=" ".join(words))
        return
    script = read_script(dockerfile, instruction)
    folder = workdir
    for command in script.commands:
        words = _bare([word.text for word in command.words])
        if not words:
            continue
        if words[0] in {"cd", "pushd"}:
            folder = _path(words[1], folder, scope) if len(words) > 1 else "$HOME"
        call = read_install(command) or read_uv_install(command)
        if call is not None:
            yield Installing(call=call, folder=folder)
        elif not _is_quiet(words, folder, scope, is_code) or _redirects(command, folder, scope, is_code):
            yield Writing(text=" ".join(words))


def _is_shell(instruction: Instruction) -> bool:
    starts = [each.content.lstrip() for each in instruction.heredocs]
    return all(
        not each.startswith("#!") or re.match(r"#!\S*(?:/|env\s+)(?:ba)?sh\b", each) for each in starts
    )


def _bare(words: list[str]) -> list[str]:
    while words and (words[0] in _LEADS or _ASSIGNMENT.match(words[0])):
        words = words[1:]
    return words


def _path(written: str, folder: str, scope: Mapping[str, str | None]) -> str:
    """Return an image path; one that is unknown begins with ``$``."""
    try:
        return posixpath.normpath(posixpath.join(folder, expand(written, scope)))
    except (UnknownVariableError, ExpansionError):
        return "$"


def _is_quiet(
    words: list[str], folder: str, scope: Mapping[str, str | None], is_code: Callable[[str], bool]
) -> bool:
    """Whether a command certainly writes no code where the function can import it."""

    def written(path: str) -> bool:
        place = _path(path, folder, scope)
        return place.startswith("$") or is_code(place)

    program = posixpath.basename(words[0])
    if words[0].startswith("./") or "$" in words[0]:
        return False
    if program in _HARMLESS:
        return True
    if program in _MOVERS:
        return not written(_value(words, "-t", "--target-directory") or words[-1])
    if program in {"tar", "unzip"}:
        return not written(_value(words, "-C", "--directory", "-d") or ".")
    if program in {"curl", "wget"}:
        return not any(word.endswith(_CODE) for word in words)
    if program == "git":
        return words[1:2] != ["clone"] or not written(words[-1] if len(words) > 3 else ".")
    if program == "find":
        runs = [words[index + 1] for index, word in enumerate(words[:-1]) if word in {"-exec", "-execdir"}]
        return all(posixpath.basename(each) in _HARMLESS for each in runs)
    if program == "xargs":
        runs = [word for word in words[1:] if not word.startswith("-")][:1]
        return all(posixpath.basename(each) in _HARMLESS for each in runs)
    if _PYTHON.fullmatch(program):
        return _is_quiet_python(words)
    if _PIP.fullmatch(program):
        return any(word in _QUIET_PIP or word == "--version" for word in words)
    return program in _PROJECT_TOOLS and _is_quiet_tool(words)


def _is_quiet_python(words: list[str]) -> bool:
    if words[1:2] == ["-c"] and len(words) > 2:  # a script that reads requirements from a project file
        return "tomllib" in words[2] and _WRITES.search(words[2]) is None
    return words[1:2] in (["--version"], ["-V"]) or (words[1:2] == ["-m"] and words[2] in _QUIET_MODULES)


def _is_quiet_tool(words: list[str]) -> bool:
    if any(flags <= set(words) for flags in _WITHOUT_LOCAL):
        return True
    if words[1:2] == ["pip"]:
        return words[2:3] != ["sync"]
    if words[:2] == ["uv", "export"]:  # it lists the project as well, which a later install then installs
        return False
    return bool(words[1:]) and words[1] in _ONLY_ASK


def _value(words: list[str], *options: str) -> str | None:
    for index, word in enumerate(words[:-1]):
        if word in options:
            return words[index + 1]
    return None


def _redirects(
    command: ShellCommand, folder: str, scope: Mapping[str, str | None], is_code: Callable[[str], bool]
) -> bool:
    """Whether a command redirects output to a file that may be code."""
    texts = [("" if word.quoted else word.text) for word in command.words]
    for index, text in enumerate(texts):
        found = _REDIRECT.fullmatch(text) or _GLUED.fullmatch(text)
        if found is None or found[1].startswith("&"):
            continue
        target = found[1] or (command.words[index + 1].text if index + 1 < len(texts) else "")
        suffix = posixpath.splitext(target)[1]
        place = _path(target, folder, scope)
        if (suffix in {"", *_CODE} or "$" in target) and (place.startswith("$") or is_code(place)):
            return not target.startswith(("/dev/", "=", "&"))
    return False
