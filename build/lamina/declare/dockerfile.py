"""A parsed Dockerfile: stages of instructions with line numbers. Syntax only; see `resolve` for semantics."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import dockerfile as buildkit

from lamina.declare.arguments import argument_faults
from lamina.declare.flags import flag_faults
from lamina.errors import ConfigError, Problem
from lamina.patterns import regex
from lamina.values import dataclass

# fmt: off
INSTRUCTIONS = frozenset({
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER",
    "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
})
# fmt: on
_MAY_BE_EMPTY = frozenset({"CMD", "ENTRYPOINT", "RUN"})
_GO_LINE = regex(r"line (\d+)")
_ONBUILD = regex(r"\s*ONBUILD\s+", re.IGNORECASE)
_DIRECTIVE = regex(r"[ \t]*#\s*(syntax|escape|check)\s*=\s*(.+?)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heredoc:
    """The body of a ``<<NAME`` heredoc."""

    name: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One instruction: upper-case name, flags (``--link``), words and position."""

    name: str
    flags: tuple[str, ...]
    words: tuple[str, ...]
    json: bool
    heredocs: tuple[Heredoc, ...]
    line: int
    end: int
    """Its last line, after continuation lines, comments between them and heredocs."""
    trigger: Instruction | None = None
    """The instruction inside an ONBUILD."""
    origin: str | None = None
    """``path:line`` of the ONBUILD that adds this instruction to a stage, if one does."""

    @property
    def is_linked(self) -> bool:
        """Whether it is a COPY or ADD whose layer does not depend on those below.

        BuildKit ignores ``--link`` beside ``--chmod``.
        """
        return (
            self.name in {"ADD", "COPY"} and self.flag("link") in {"", "true"} and self.flag("chmod") is None
        )

    def flag(self, name: str) -> str | None:
        """Return the value of ``--name=value``, an empty string for ``--name``, None when not given."""
        return next(iter(self.flags_of(name)), None)

    def flags_of(self, name: str) -> tuple[str, ...]:
        """Return all values of a flag that may be repeated."""
        prefix = f"--{name}="
        return tuple(
            flag.removeprefix(prefix) if flag.startswith(prefix) else ""
            for flag in self.flags
            if flag.startswith(prefix) or flag == f"--{name}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A FROM and its instructions. Base and platform are as written, with variables unexpanded."""

    index: int
    name: str | None
    base: str
    platform: str | None
    line: int
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dockerfile:
    """A whole file.

    Attributes:
        path: For messages; relative to the project where possible.
    """

    path: str
    text: str
    directives: tuple[str, ...]
    """``syntax=…`` and ``escape=…`` from the first lines. They look like comments but change the meaning."""
    header: tuple[Instruction, ...]
    """The ARGs before the first FROM."""
    stages: tuple[Stage, ...]

    def where(self, line: int) -> str:
        """Return ``path:line`` for messages."""
        return f"{self.path}:{line}"

    def stage(self, name: str) -> Stage | None:
        """Return the stage with a name (in any case) or number, as in ``--from`` and ``--target``."""
        for stage in reversed(self.stages):
            if stage.name == name.lower() or str(stage.index) == name:
                return stage
        return None


def read_dockerfile(file: Path, path: str) -> Dockerfile:
    """Parse a file. Raises ConfigError when it is missing, unreadable or not a Dockerfile."""
    try:
        content = file.read_bytes()
        if problem := _misencoded(content, path):
            raise ConfigError(problem)
        text = content.decode("utf-8")
    except FileNotFoundError:
        raise ConfigError.of("there is no such Dockerfile", where=path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError.of(f"cannot be read: {error}", where=path) from None
    return parse_dockerfile(text, path)


def _misencoded(content: bytes, path: str) -> Problem | None:
    """Return a problem for a file in UTF-16, as PowerShell's ``>`` writes it, or with bare CR line ends."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        fact, how = "is encoded in UTF-16", "save it as UTF-8; in PowerShell: Set-Content -Encoding utf8"
    elif b"\r" in content.replace(b"\r\n", b"") and b"\n" not in content:
        fact, how = "has bare CR line ends, so all of it is one line", "save it with LF line ends"
    else:
        return None
    return Problem(
        what=f"the Dockerfile {fact}", where=f"{path}:1", allowed="UTF-8, with LF line ends", hint=how
    )


def parse_dockerfile(text: str, path: str) -> Dockerfile:
    """Parse a text with BuildKit's own parser. Raises ConfigError with ``path:line`` of every problem."""
    try:
        instructions = tuple(_instruction(command, text) for command in buildkit.parse_string(text))
    except (buildkit.GoParseError, buildkit.GoIOError) as error:
        where = f"{path}:{_line_of(error, text)}"
        raise ConfigError.of(f"not a valid Dockerfile: {error}", where=where) from None
    directives = tuple(_directives(text))
    own_syntax = any(each.startswith("syntax=") for each in directives)
    ConfigError.check(_faults(instructions, path, own_syntax=own_syntax))
    first = next(index for index, instruction in enumerate(instructions) if instruction.name == "FROM")
    return Dockerfile(
        path=path,
        text=text,
        directives=directives,
        header=instructions[:first],
        stages=tuple(_stages(instructions[first:])),
    )


def _line_of(error: Exception, text: str) -> int:
    """Return the line in the parser's error, else the line after the longest valid prefix of the file."""
    if found := _GO_LINE.search(str(error)):
        return int(found.group(1))
    if _is_start(text):  # only the FROM is missing: the file is empty or holds comments alone
        return 1
    lines = text.split("\n")
    good = (end for end in range(len(lines) - 1, 0, -1) if _is_start("\n".join(lines[:end])))
    return next(good, 0) + 1


def _is_start(text: str) -> bool:
    try:
        buildkit.parse_string("FROM scratch\n" + text)  # the parser refuses a file without instructions
    except (buildkit.GoParseError, buildkit.GoIOError):
        return False
    return True


def _directives(text: str) -> Iterator[str]:
    """Yield the directives in the first lines. They end at the first line that is not a comment.

    BuildKit obeys none after another comment. A ``syntax=`` counts there too, as it has always done.
    """
    obeyed = True
    for line in text.removeprefix("\ufeff").split("\n"):
        found = _DIRECTIVE.fullmatch(line.rstrip("\r"))
        key = found.group(1).lower() if found else ""
        if found and ((key == "syntax" and line.startswith("#")) or (key == "escape" and obeyed)):
            yield f"{key}={found.group(2)}"
        elif not found:
            obeyed = False
            if not line.startswith("#"):
                return


class _Parsed(Protocol):
    """A command of the parser, which publishes no types."""

    cmd: str
    sub_cmd: str
    json: bool
    flags: Sequence[str]
    value: Sequence[str]
    heredocs: Sequence[Heredoc]
    start_line: int
    end_line: int


def _instruction(command: _Parsed, text: str) -> Instruction:
    return Instruction(
        name=command.cmd.upper(),
        flags=tuple(command.flags),
        words=tuple(command.value),
        json=command.json,
        heredocs=tuple(Heredoc(name=each.name, content=each.content) for each in command.heredocs),
        line=command.start_line,
        end=command.end_line,
        trigger=_trigger(command, text) if command.sub_cmd else None,
    )


def _trigger(command: _Parsed, text: str) -> Instruction:
    """Parse an ONBUILD's inner instruction separately, since the parser drops its flags and heredocs."""
    escape = [f"# {each}\n" for each in _directives(text) if each.startswith("escape=")]
    lines = text.split("\n")[command.start_line - 1 : command.end_line]
    inner = _ONBUILD.sub("", "\n".join(lines), count=1)
    alone = "".join((*escape, "FROM scratch\n", inner))
    return replace(
        _instruction(buildkit.parse_string(alone)[1], alone), line=command.start_line, end=command.end_line
    )


def _faults(instructions: tuple[Instruction, ...], path: str, *, own_syntax: bool) -> Iterator[Problem]:
    """Yield the problems that the parser accepts but the frontend would refuse.

    Args:
        own_syntax: Whether the file names its own frontend, which may accept other flags.
    """
    seen_from = False
    for each in instructions:
        where = f"{path}:{each.line}"
        if each.name not in INSTRUCTIONS:
            yield Problem(
                what=f"unknown instruction {each.name}",
                where=where,
                allowed=", ".join(sorted(INSTRUCTIONS)),
            )
        elif each.name == "FROM":
            seen_from = True
            if len(each.words) not in {1, 3} or (len(each.words) == 3 and each.words[1].upper() != "AS"):
                yield Problem(what="FROM takes one image", where=where, allowed="FROM <image> [AS <name>]")
        elif not seen_from and each.name != "ARG":
            yield Problem(what=f"{each.name} before the first FROM", where=where, allowed="ARG, then FROM")
        elif each.name in {"COPY", "ADD"} and len(each.words) < 2:
            yield Problem(
                what=f"{each.name} needs a source and a destination",
                where=where,
                allowed=f"{each.name} [--flags] <source>... <destination>",
            )
        elif not each.words and each.name not in _MAY_BE_EMPTY and each.trigger is None:
            yield Problem(what=f"{each.name} needs an argument", where=where)
        if each.name in INSTRUCTIONS and not own_syntax:
            trigger = each.trigger.name if each.trigger else None
            refused = argument_faults(each.name, each.words, each.flags, json=each.json, trigger=trigger)
            for what, allowed in (*flag_faults(each.name, each.flags), *refused):
                yield Problem(what=what, where=where, allowed=allowed)
    if not seen_from:
        yield Problem(what="no FROM: a Dockerfile needs a base image", where=f"{path}:1")


def _stages(instructions: tuple[Instruction, ...]) -> Iterator[Stage]:
    starts = [index for index, each in enumerate(instructions) if each.name == "FROM"]
    for index, (start, end) in enumerate(zip(starts, [*starts[1:], len(instructions)], strict=True)):
        head = instructions[start]
        yield Stage(
            index=index,
            name=head.words[2].lower() if len(head.words) == 3 else None,
            base=head.words[0],
            platform=head.flag("platform"),
            line=head.line,
            instructions=instructions[start + 1 : end],
        )
