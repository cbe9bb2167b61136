"""Read calls of a TypeScript program as far as their arguments are plain. Nothing is run."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
      | (?P<text>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`)
      | (?P<name>[A-Za-z_$][\w$]*)
      | (?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_DEEPEST = 60
_PART = re.compile(r"\$\{([^{}]*)\}")
PLUS = "+"
"""The name of the call that stands for texts put together: ``a + b``, and a template with names in it."""
SPREAD = "..."
"""The key of an object that takes over another's keys: ``{...common}``."""


@dataclass(frozen=True, slots=True)
class Token:
    """A word of the program. kind: text, name or sign. line: counted from 1."""

    kind: str
    text: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TsCall:
    """A call, or a name that is not called.

    Attributes:
        name: with its dots: ``lambda.DockerImageCode.fromImageAsset``.
        args: strings, lists, dicts, calls; None for anything else.
        at: which word of the program it begins with.
    """

    name: str
    line: int
    args: tuple[object, ...] = ()
    at: int = 0

    @property
    def last(self) -> str:
        """The last part of the name."""
        return self.name.rpartition(".")[2]


def read_calls(program: str, names: Collection[str]) -> Iterator[TsCall]:
    """Yield the calls whose last name is one of those given, wherever they are, in the program's order."""
    tokens = _tokens(program)
    for at, token in enumerate(tokens):
        continued = at > 0 and tokens[at - 1].text == "."
        if token.kind == "name" and not continued and token.text != "new":
            value, _ = _call(tokens, at, 0) if _is_named(tokens, at, names) else (None, at)
            if isinstance(value, TsCall) and value.args:
                yield value


def read_constants(program: str) -> dict[str, object]:
    """Return the plain values of a program's ``const``, by name; None for a name with several."""
    tokens = _tokens(program)
    found: dict[str, object] = {}
    for at, token in enumerate(tokens[:-3]):
        if token.text != "const" or tokens[at + 1].kind != "name":
            continue
        equals = at + 2
        while (
            tokens[at + 2].text == ":" and tokens[equals].text not in {"=", ";"} and equals < len(tokens) - 1
        ):
            equals += 1
        name = tokens[at + 1].text
        value, after = _sum(tokens, equals + 1, 0) if tokens[equals].text == "=" else (None, equals)
        found[name] = value if name not in found and _ends(tokens, after) else None
    return found


def _ends(tokens: list[Token], after: int) -> bool:
    """Whether a statement ends before a token."""
    if after >= len(tokens) or tokens[after].text in {";", "}"}:
        return True
    return tokens[after].kind == "name" and tokens[after].line > tokens[after - 1].line


def calls_in(value: object) -> Iterator[TsCall]:
    """Yield the calls in the arguments of a call, or in a list or an object."""
    inner = value.args if isinstance(value, TsCall) else value
    parts = inner.values() if isinstance(inner, dict) else inner if isinstance(inner, (list, tuple)) else ()
    for each in parts:
        if isinstance(each, TsCall):
            yield each
        yield from calls_in(each)


def _is_named(tokens: list[Token], at: int, names: Collection[str]) -> bool:
    while at + 2 < len(tokens) and tokens[at + 1].text == "." and tokens[at + 2].kind == "name":
        at += 2
    return tokens[at].text in names


def _tokens(program: str) -> list[Token]:
    found, line = [], 1
    for match in _TOKEN.finditer(program):
        if match.lastgroup != "space":
            found.append(Token(match.lastgroup or "sign", match[0], line))
        line += match[0].count("\n")
    return found


def _value(tokens: list[Token], at: int, depth: int) -> tuple[object, int]:
    """Return the value that begins at a token, None for one that is not plain, and the token after it."""
    if at >= len(tokens) or depth > _DEEPEST:
        return None, len(tokens)
    token = tokens[at]
    if token.kind == "text":
        return _text(token) or _template(token, depth), at + 1
    if token.kind == "name":
        return _call(tokens, at, depth)
    if token.text in {"[", "{"}:
        return (_list if token.text == "[" else _object)(tokens, at + 1, depth + 1)
    return None, at + 1


def _text(token: Token) -> str | None:
    inner = token.text[1:-1]
    return None if token.text[0] == "`" and "${" in inner else _ESCAPE.sub(r"\1", inner)


def _template(token: Token, depth: int) -> object:
    """Return a template with plain names in it; an empty text stays one, and None stands for any other."""
    if token.text[0] != "`" or "\\" in token.text:
        return _text(token)
    parts: list[object] = []
    for number, part in enumerate(_PART.split(token.text[1:-1])):
        tokens = _tokens(part) if number % 2 else []
        value, after = _value(tokens, 0, depth + 1) if tokens else (part, 0)
        if (number % 2 and not tokens) or after < len(tokens) or "${" in part:
            return None
        parts += [value] if value != "" else []
    return TsCall(name=PLUS, line=token.line, args=tuple(parts)) if parts else ""


def _call(tokens: list[Token], at: int, depth: int) -> tuple[object, int]:
    if tokens[at].text == "new" and at + 1 < len(tokens) and tokens[at + 1].kind == "name":
        at += 1
    begin, line, parts = at, tokens[at].line, [tokens[at].text]
    at += 1
    while at + 1 < len(tokens) and tokens[at].text == "." and tokens[at + 1].kind == "name":
        parts.append(tokens[at + 1].text)
        at += 2
    name = ".".join(parts)
    if at < len(tokens) and tokens[at].text == "(":
        args, after = _list(tokens, at + 1, depth + 1, closing=")")
        return TsCall(name=name, line=line, args=tuple(args), at=begin), after
    return TsCall(name=name, line=line, at=begin), at


def _list(tokens: list[Token], at: int, depth: int, *, closing: str = "]") -> tuple[list[object], int]:
    values: list[object] = []
    while at < len(tokens) and tokens[at].text != closing:
        value, at = _item(tokens, at, depth, closing)
        values.append(value)
    return values, at + 1


def _object(tokens: list[Token], at: int, depth: int) -> tuple[dict[str, object], int]:
    found: dict[str, object] = {}
    while at < len(tokens) and tokens[at].text != "}":
        key = tokens[at]
        if at + 1 < len(tokens) and tokens[at + 1].text == ":" and key.kind in {"name", "text"}:
            name = key.text if key.kind == "name" else (_text(key) or "")
            found[name], at = _item(tokens, at + 2, depth, "}")
        elif key.kind == "name" and at + 1 < len(tokens) and tokens[at + 1].text in {",", "}"}:
            found[key.text] = TsCall(name=key.text, line=key.line, at=at)
            _, at = _item(tokens, at, depth, "}")
        else:
            if key.text == ".":
                found[SPREAD] = None
            _, at = _item(tokens, at, depth, "}")
    return found, at + 1


def _sum(tokens: list[Token], at: int, depth: int) -> tuple[object, int]:
    """Return a value, or several that are put together by a plus."""
    value, after = _value(tokens, at, depth)
    while after + 1 < len(tokens) and tokens[after].text == PLUS:
        line = tokens[after].line
        more, after = _value(tokens, after + 1, depth)
        value = TsCall(name=PLUS, line=line, args=(value, more))
    return value, after


def _item(tokens: list[Token], at: int, depth: int, closing: str) -> tuple[object, int]:
    """Return a value up to the comma or bracket that ends it; None if there is more than the value."""
    value, after = _sum(tokens, at, depth)
    plain = after >= len(tokens) or tokens[after].text in {",", closing}
    while after < len(tokens) and tokens[after].text not in {",", closing}:
        if tokens[after].text in _CLOSING:
            after = _skipped(tokens, after)
        elif tokens[after].text in _CLOSING.values():
            return None, after
        else:
            after += 1
    if after < len(tokens) and tokens[after].text == ",":
        after += 1
    return value if plain else None, max(after, at + (after == at))


def _skipped(tokens: list[Token], at: int) -> int:
    """Return the token after a bracketed part."""
    depth = 0
    while at < len(tokens):
        if tokens[at].text in _CLOSING:
            depth += 1
        elif tokens[at].text in _CLOSING.values():
            depth -= 1
            if not depth:
                return at + 1
        at += 1
    return at
