"""Variables in Dockerfile words, expanded as the Dockerfile frontend does.

Rule: https://docs.docker.com/reference/dockerfile/#environment-replacement
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"[^\W\d]\w*|[0-9]+|[@*#?$!-]")
_SPECIAL_IN_DOUBLE_QUOTES = '"$\\'


class UnknownVariableError(LookupError):
    """A word uses a variable whose value is not known here (it may come from the base image's ENV)."""


class ExpansionError(ValueError):
    """A word is malformed, or ``${name:?message}`` refuses."""


def expand(word: str, scope: Mapping[str, str | None], *, open_world: bool = True) -> str:
    """The word with its variables replaced, its quotes removed and its escapes undone.

    scope: name -> value, or None for a name that is declared without a value (it expands to nothing).
    open_world: a name outside the scope raises `UnknownVariableError` when true, else it is unset.
    """
    return _Expander(word, scope, open_world=open_world).run()


class _Expander:
    def __init__(self, word: str, scope: Mapping[str, str | None], *, open_world: bool) -> None:
        self._word = word
        self._scope = scope
        self._open_world = open_world
        self._at = 0

    def run(self) -> str:
        text = self._until("")
        if self._at != len(self._word):
            raise ExpansionError(f"{self._word!r}: unexpected {self._word[self._at]!r}")
        return text

    def _peek(self) -> str:
        return self._word[self._at : self._at + 1]

    def _take(self) -> str:
        char = self._peek()
        self._at += 1
        return char

    def _until(self, stop: str) -> str:
        """Everything up to (not including) an unquoted character of ``stop``, or the end."""
        parts: list[str] = []
        while (char := self._peek()) and char not in stop:
            if char == "$":
                parts.append(self._dollar())
            elif char == "'":
                parts.append(self._single_quoted())
            elif char == '"':
                parts.append(self._double_quoted())
            elif char == "\\":
                self._at += 1
                parts.append(self._take())
            else:
                parts.append(self._take())
        return "".join(parts)

    def _single_quoted(self) -> str:
        end = self._word.find("'", self._at + 1)
        if end < 0:
            raise ExpansionError(f"{self._word!r}: a single quote is not closed")
        text = self._word[self._at + 1 : end]
        self._at = end + 1
        return text

    def _double_quoted(self) -> str:
        self._at += 1
        parts: list[str] = []
        while (char := self._peek()) != '"':
            if not char:
                raise ExpansionError(f"{self._word!r}: a double quote is not closed")
            if char == "$":
                parts.append(self._dollar())
            elif char == "\\":
                self._at += 1
                escaped = self._take()
                parts.append(escaped if escaped in _SPECIAL_IN_DOUBLE_QUOTES else "\\" + escaped)
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
        return "$" if name is None else self._value(name) or ""

    def _name(self) -> str | None:
        found = _NAME.match(self._word, self._at)
        if not found:
            return None
        self._at = found.end()
        return found.group()

    def _value(self, name: str) -> str | None:
        if name in self._scope:
            return self._scope[name]
        if self._open_world and name.isidentifier():  # else a parameter such as $1, which is never set
            raise UnknownVariableError(name)
        return None

    def _braced(self) -> str:
        name = self._name()
        if name is None:
            raise ExpansionError(f"{self._word!r}: '${{' without a name")
        operator = self._take()
        if operator == "}":
            return self._value(name) or ""
        if operator == ":":
            return self._defaulted(name, self._take(), empty_counts=False)
        if operator in "-+?" and operator:
            return self._defaulted(name, operator, empty_counts=True)
        if operator in "#%" and operator:
            return self._trimmed(name, operator)
        if operator == "/":
            return self._replaced(name)
        raise ExpansionError(f"{self._word!r}: '${{{name}{operator}' is no form of a variable")

    def _close(self) -> None:
        if self._take() != "}":
            raise ExpansionError(f"{self._word!r}: '${{' is not closed")

    def _defaulted(self, name: str, operator: str, *, empty_counts: bool) -> str:
        other = self._until("}")
        self._close()
        value = self._value(name)
        present = value is not None if empty_counts else bool(value)
        if operator == "-":
            return value or "" if present else other
        if operator == "+":
            return other if present else ""
        if operator == "?":
            if not present:
                raise ExpansionError(f"{name}: {other or 'is not set'}")
            return value or ""
        raise ExpansionError(f"{self._word!r}: ':{operator}' is no form of a variable")

    def _trimmed(self, name: str, operator: str) -> str:
        longest = self._peek() == operator
        if longest:
            self._at += 1
        pattern = self._until("}")
        self._close()
        value = self._value(name) or ""
        ends = range(len(value) + 1)
        if operator == "#":
            cuts = reversed(ends) if longest else iter(ends)
            return next((value[cut:] for cut in cuts if _matches(value[:cut], pattern)), value)
        cuts = iter(ends) if longest else reversed(ends)
        return next((value[:cut] for cut in cuts if _matches(value[cut:], pattern)), value)

    def _replaced(self, name: str) -> str:
        every = self._peek() == "/"
        if every:
            self._at += 1
        pattern = self._until("/}")
        replacement = ""
        if self._peek() == "/":
            self._at += 1
            replacement = self._until("}")
        self._close()
        value = self._value(name) or ""
        compiled = re.compile(_regex(pattern), re.DOTALL)
        return compiled.sub(lambda _: replacement, value, count=0 if every else 1)


def _regex(pattern: str) -> str:
    """A shell pattern of ``*`` and ``?`` as an unanchored regular expression."""
    return re.sub(r"\\\*", ".*", re.sub(r"\\\?", ".", re.escape(pattern)))


def _matches(text: str, pattern: str) -> bool:
    return re.fullmatch(_regex(pattern), text, re.DOTALL) is not None
