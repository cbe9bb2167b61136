"""Functions of a CDK program that build an image from a folder and options which they are given."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from lamina.adopt.typescript import TsCall, read_calls

_DEFINED = re.compile(
    r"\bfunction\s+(?P<name>\w+)\s*\((?P<given>[^()]*)\)"
    r"|\b(?:const|let)\s+(?P<named>\w+)\s*=\s*(?:async\s*)?\((?P<taken>[^()]*)\)[^=;{}]*=>"
)
_PARAMETER = re.compile(r"\s*(?:readonly\s+)?(\w+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Helper:
    """A function whose parameters say what is built.

    Attributes:
        maker: what it calls: ``fromDockerBuild``.
        folder: position of the folder among its parameters.
        options: position of the options; None if it takes none.
        at: the word of the program with which the call in it begins.
        line: of its definition.
    """

    name: str
    maker: str
    folder: int
    options: int | None
    at: int
    line: int


def read_helpers(content: str, makers: Collection[str]) -> Iterator[Helper]:
    """Yield the functions of a program that pass their parameters on to one of the makers."""
    defined = [
        (content.count("\n", 0, found.start()) + 1, found["name"] or found["named"], _parameters(found))
        for found in _DEFINED.finditer(content)
    ]
    for call in read_calls(content, makers):
        passed = [_name(each) for each in call.args[:2]]
        above = [each for each in defined if each[0] <= call.line and passed[0] in each[2]]
        if above:
            line, name, parameters = above[-1]
            options = passed[1] if len(passed) > 1 else None
            yield Helper(
                name=name,
                maker=call.last,
                folder=parameters.index(str(passed[0])),
                options=parameters.index(options) if options in parameters else None,
                at=call.at,
                line=line,
            )


def call_through(helper: Helper, call: TsCall) -> TsCall | None:
    """Return the call that a helper makes when it is called; None if that does not say what is built."""
    if len(call.args) <= max(helper.folder, helper.options or 0):
        return None
    options = () if helper.options is None else (call.args[helper.options],)
    return TsCall(name=helper.maker, line=call.line, args=(call.args[helper.folder], *options), at=call.at)


def _parameters(found: re.Match[str]) -> list[str]:
    text = found["given"] if found["name"] else found["taken"]
    return [match[1] for each in text.split(",") if (match := _PARAMETER.match(each))]


def _name(value: object) -> str | None:
    """Return the name of a value that is a name alone."""
    return value.name if isinstance(value, TsCall) and not value.args else None
