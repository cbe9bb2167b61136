"""Expand variables in Dockerfile words exactly as the Dockerfile frontend does.

Source: ``frontend/dockerfile/shell/lex.go`` of moby/buildkit. Documentation:
https://docs.docker.com/reference/dockerfile/#environment-replacement
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from lamina.patterns import regex

_SPECIAL = "@*#?-$!"
_TEMPLATE = regex(r"\$(?:(\$)|\{(\w+)\}|(\w+))?")


class UnknownVariableError(LookupError):
    """A word uses a variable whose value is unknown: it may come from the base image's ENV."""


class ExpansionError(ValueError):
    """A word is malformed, or ``${name:?message}`` fails."""


def expand(word: str, scope: Mapping[str, str | None], *, open_world: bool = True, escape: str = "\\") -> str:
    """Return the word with variables replaced, quotes removed and escapes resolved.

    Args:
        scope: Name -> value. None is a name declared without a value; it expands to nothing.
        open_world: Whether a name outside the scope raises `UnknownVariableError`. If not, it is unset.
        escape: The character set by the file's ``escape`` directive.

    Raises:
        UnknownVariableError: In an open world, for a name outside the scope.
        ExpansionError: For a malformed word or a failing ``${name:?message}``.
    """
    try:
        return _Expander(word, scope, open_world=open_world, escape=escape).run()
    except RecursionError:
        raise ExpansionError("variables are nested too deeply") from None


class _Expander:
    def __init__(self, word: str, scope: Mapping[str, str | None], *, open_world: bool, escape: str) -> None:
        self._word = word.removeprefix("\ufeff")  # Go's scanner drops a byte order mark
        self._scope = scope
        self._open_world = open_world
        self._escape = escape
        self._raw = False
        """Whether escapes are kept. Patterns interpret them a second time."""
        self._at = 0

    def run(self) -> str:
        return self._until("")

    def _peek(self) -> str:
        return self._word[self._at : self._at + 1]

    def _take(self) -> str:
        char = self._peek()
        self._at += 1
        return char

    def _fault(self, what: str) -> ExpansionError:
        return ExpansionError(f"{self._word!r}: {what}")

    def _until(self, stop: str, *, raw: bool = False) -> str:
        """Read up to and including the unquoted character ``stop``; to the end when it is empty."""
        before, self._raw = self._raw, raw
        parts: list[str] = []
        while (char := self._peek()) and char != stop:
            if char == "$":
                parts.append(self._dollar())
            elif char == "'":
                parts.append(self._single_quoted())
            elif char == '"':
                parts.append(self._double_quoted())
            elif char == self._escape:
                self._at += 1
                parts.append(char * raw + self._take())
            else:
                parts.append(self._take())
        if stop and not self._take():
            raise self._fault(f"'${{' is not closed: no '{stop}'")
        self._raw = before
        return "".join(parts)

    def _single_quoted(self) -> str:
        end = self._word.find("'", self._at + 1)
        if end < 0:
            raise self._fault("a single quote is not closed")
        text = self._word[self._at + 1 : end]
        self._at = end + 1
        return text

    def _double_quoted(self) -> str:
        self._at += 1
        parts: list[str] = []
        while (char := self._peek()) != '"':
            if not char:
                raise self._fault("a double quote is not closed")
            if char == "$":
                parts.append(self._dollar())
            elif char == self._escape:
                self._at += 1
                following = self._peek()
                parts.append(char * self._raw)
                if following:
                    parts.append(self._take() if following in {'"', "$", self._escape} else char)
            else:
                parts.append(self._take())
        self._at += 1
        return "".join(parts)

    def _dollar(self) -> str:
        self._at += 1
        if self._peek() == "{":
            self._at += 1
            return self._braced()
        name = self._name()
        return (self._value(name) or "") if name else "$"

    def _name(self) -> str:
        """Read a name, a number, one special character, or nothing."""
        start = self._at
        if self._peek().isdecimal():
            while self._peek().isdecimal():
                self._at += 1
        elif self._peek() and self._peek() in _SPECIAL:
            self._at += 1
        else:
            while (char := self._peek()) and (char.isalpha() or char.isdecimal() or char == "_"):
                self._at += 1
        return self._word[start : self._at]

    def _value(self, name: str) -> str | None:
        if name in self._scope:
            return self._scope[name]
        if self._open_world and name.isidentifier():  # a positional parameter such as $1 is never set
            raise UnknownVariableError(name)
        return None

    def _braced(self) -> str:
        if self._peek() in {"", "{", "}", ":"}:
            raise self._fault("'${' without a name")
        name = self._name()
        operator = self._take()
        if operator == "}":
            return self._value(name) or ""
        if operator == "/":
            return self._replaced(name)
        empty_counts = operator != ":"
        if operator == ":":
            operator = self._take()
            if operator and operator in "#%":
                operator = ""
        if not operator or operator not in "-+?#%":
            raise self._fault(f"'${{{name}{'' if empty_counts else ':'}{operator}' is not an expansion")
        other = self._until("}", raw=operator in "#%")
        value = self._value(name)
        if operator in "#%":
            return self._trimmed(value or "", operator, other)
        present = value is not None if empty_counts else bool(value)
        if operator == "-":
            return (value or "") if present else other
        if operator == "+":
            return other if present else ""
        if not present:
            raise ExpansionError(f"{name}: {other or 'is not set'}")
        return value or ""

    def _trimmed(self, value: str, operator: str, pattern: str) -> str:
        """Remove the shortest matching prefix or suffix, or the longest with ``##`` or ``%%``."""
        longest = pattern.startswith(operator)
        parts = list(_parts(pattern[longest:]))
        if operator == "#":
            found = self._compiled("".join(parts), greedy=longest).match(value)
            return value[found.end() :] if found else value
        found = self._compiled("".join(reversed(parts)), greedy=longest).match(value[::-1])
        return value[: len(value) - found.end()] if found else value

    def _replaced(self, name: str) -> str:
        every = self._peek() == "/"
        self._at += every
        pattern = self._until("/", raw=True)
        replacement = self._until("}", raw=True)
        value = self._value(name) or ""
        compiled = self._compiled(pattern, greedy=True)
        if every:
            return _replace_all(compiled, value, replacement)
        return compiled.sub(lambda _: replacement, value, count=1)

    def _compiled(self, pattern: str, *, greedy: bool) -> re.Pattern[str]:
        """Translate a shell pattern of ``*``, ``?`` and escapes to a regular expression."""
        out: list[str] = []
        for part in _parts(pattern):
            if part == "*":
                out.append(".*" if greedy else ".*?")
            elif part == "?":
                out.append(".")
            elif part in {"\\*", "\\?", "\\\\"}:
                out.append(part)
            elif part in {"\\/", "\\}"} or part[0] != "\\":
                out.append(re.escape(part[-1]))
            else:
                raise self._fault(f"`{part}` is not an escape in the pattern `{pattern}`")
        return re.compile("".join(out))


def _parts(pattern: str) -> Iterator[str]:
    """Yield the characters of a pattern, each with the backslash before it."""
    return (found[0] for found in re.finditer(r"\\.|.", pattern, re.DOTALL))


def _replace_all(pattern: re.Pattern[str], value: str, template: str) -> str:
    """Replace as Go's ``ReplaceAllString``: skip empty matches right after a match; ``$0`` is the match."""
    out: list[str] = []
    done, at = 0, 0
    while found := pattern.search(value, at) if at <= len(value) else None:
        out.append(value[done : found.start()])
        if found.end() > done or found.start() == 0:
            out.append(_TEMPLATE.sub(lambda name, text=found[0]: _filled(name, text), template))  # type: ignore[misc]
        done = found.end()
        at = max(at + 1, done)
    return "".join((*out, value[done:]))


def _filled(name: re.Match[str], text: str) -> str:
    whole = name[2] or name[3]
    if whole:
        return text if whole == "0" else ""
    return "$"
