"""Translate Go's regular expressions to Python's, as far as a `.dockerignore` pattern can produce them.

BuildKit turns patterns into Go expressions and escapes little of the user's text. So ``\\d`` is a digit,
``\\Q`` quotes, ``[[:alpha:]]`` is a letter, ``a?{2}`` matches three characters and ``a*|b`` either side.
``\\y`` and ``[z-a]`` are errors. The rules are those of Go's ``regexp/syntax`` with its ``Perl`` flags. The
only groups are BuildKit's own. ``\\p`` is refused, because its meaning depends on the version of Go.
"""

from __future__ import annotations

import re
import sys

from lamina.patterns import regex

_Spans = list[tuple[int, int]]  # first and last code point of each range

# Groups, because a {2} may follow: Python accepts it after a group, but not after a bare assertion.
# (?!\b), because Python's \B does not match an empty string.
_ASSERTIONS = {"A": r"(?:\A)", "b": r"(?:\b)", "B": r"(?:(?!\b))", "z": r"(?:\Z)"}
_PLAIN = {"^": _ASSERTIONS["A"], "$": _ASSERTIONS["z"], "(": "(?:", **{char: char for char in ").*?|"}}
_REPEAT = regex(r"\{(0|[1-9][0-9]*)(?:,(0|[1-9][0-9]*)?)?\}")
_MOST_REPEATS = 1000
_HEX = regex(r"\\x(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]+)\})")
_OCTAL = regex(r"\\(0[0-7]{0,2}|[1-7][0-7]{1,2})")
_ITSELF = regex(r"\\([\x00-/:-@\[-`{-\x7f])")
_CONTROLS = {r"\a": "\a", r"\f": "\f", r"\n": "\n", r"\r": "\r", r"\t": "\t", r"\v": "\v"}
# Sets as pairs of first and last character, in order.
_PERL = {"d": "09", "s": "\t\n\f\r  ", "w": "09AZ__az"}
_POSIX = {
    "alnum": "09AZaz",
    "alpha": "AZaz",
    "ascii": "\0\x7f",
    "blank": "\t\t  ",
    "cntrl": "\0\x1f\x7f\x7f",
    "digit": "09",
    "graph": "!~",
    "lower": "az",
    "print": " ~",
    "punct": "!/:@[`{~",
    "space": "\t\r  ",
    "upper": "AZ",
    "word": "09AZ__az",
    "xdigit": "09AFaf",
}


class PatternError(ValueError):
    """A pattern that BuildKit cannot read. hint: how to fix it."""

    def __init__(self, what: str, hint: str | None = None) -> None:
        super().__init__(what)
        self.hint = hint


def compile_go(expression: str) -> re.Pattern[str]:
    """Compile an expression for `search`, like Go's ``MatchString``. Raises PatternError where Go fails."""
    try:
        return re.compile(_translate(expression), re.ASCII)
    except re.error as error:
        raise PatternError(f"`{expression}` is not a regular expression: {error.msg}") from None


def _translate(rest: str) -> str:
    pieces: list[str] = []
    while rest:
        piece, rest = _piece(rest)
        pieces.append(piece)
    return "".join(pieces)


def _piece(rest: str) -> tuple[str, str]:
    """Return the first element in Python's syntax, and the rest."""
    if rest.startswith("\\Q"):
        literal, _, rest = rest[2:].partition("\\E")
        return re.escape(literal), rest
    if rest.startswith("["):
        return _set(rest)
    if rest.startswith("\\"):
        if rest[1:2] in _ASSERTIONS:
            return _ASSERTIONS[rest[1]], rest[2:]
        if found := _shorthand(rest):
            return f"[{_ranges(found[0])}]", found[1]
        code, rest = _character(rest)
        return re.escape(chr(code)), rest
    if repeat := _REPEAT.match(rest):
        if max(int(number) for number in repeat.groups() if number) > _MOST_REPEATS:
            raise PatternError(
                f"`{repeat[0]}` repeats too often", f"at most {_MOST_REPEATS}, or \\{{ for a literal brace"
            )
        return repeat[0], rest[repeat.end() :]
    return _PLAIN.get(rest[0]) or re.escape(rest[0]), rest[1:]


def _set(expression: str) -> tuple[str, str]:
    """Translate a ``[a-z]``, in which a first ``]`` is literal."""
    negated = expression.startswith("[^")
    rest = expression[2 if negated else 1 :]
    spans: _Spans = []
    while not spans or not rest.startswith("]"):
        more, rest = _named(rest) or _shorthand(rest) or _span(rest)
        spans += more
    return f"[{'^' if negated else ''}{_ranges(spans)}]", rest[1:]


def _named(rest: str) -> tuple[_Spans, str] | None:
    """Read a ``[:alpha:]`` or ``[:^alpha:]`` in a set."""
    if not rest.startswith("[:") or (end := rest.find(":]", 2)) < 0:
        return None
    name = rest[2:end]
    if name.removeprefix("^") not in _POSIX:
        raise PatternError(f"there is no set named [:{name}:]", f"one of {', '.join(_POSIX)}")
    spans = _pairs(_POSIX[name.removeprefix("^")])
    return _others(spans) if name.startswith("^") else spans, rest[end + 2 :]


def _shorthand(rest: str) -> tuple[_Spans, str] | None:
    r"""Read a ``\d``, ``\s`` or ``\w``, or its complement in upper case."""
    letter = rest[1:2] if rest.startswith("\\") else ""
    if letter.lower() not in _PERL:
        return None
    spans = _pairs(_PERL[letter.lower()])
    return _others(spans) if letter.isupper() else spans, rest[2:]


def _span(rest: str) -> tuple[_Spans, str]:
    low, rest = _character(rest)
    high = low
    if rest.startswith("-") and len(rest) > 1 and rest[1] != "]":
        high, rest = _character(rest[1:])
    if high < low:
        raise PatternError(f"the range {chr(low)}-{chr(high)} runs backwards", "swap its ends")
    return [(low, high)], rest


def _character(rest: str) -> tuple[int, str]:
    r"""Read a literal character or an escape for one: ``\*``, ``\n``, ``\x2a``, ``\x{2a}``, ``\052``."""
    if not rest:
        raise PatternError("a set is not closed", "write \\[ for a literal bracket")
    if rest == "\\":
        raise PatternError("a backslash is the last character", "write \\\\ for a literal backslash")
    if not rest.startswith("\\"):
        return ord(rest[0]), rest[1:]
    if rest[:2] in _CONTROLS:
        return ord(_CONTROLS[rest[:2]]), rest[2:]
    if (found := _HEX.match(rest)) and (code := int(found[1] or found[2], 16)) <= sys.maxunicode:
        return code, rest[found.end() :]
    if found := _OCTAL.match(rest):
        return int(found[1], 8), rest[found.end() :]
    if found := _ITSELF.match(rest):
        return ord(found[1]), rest[found.end() :]
    raise PatternError(f"`{rest[:2]}` is not an escape", f"write {rest[1:2]} without the backslash")


def _pairs(ends: str) -> _Spans:
    codes = [ord(end) for end in ends]
    return list(zip(codes[::2], codes[1::2], strict=True))


def _others(spans: _Spans) -> _Spans:
    """Return all characters outside ``spans``, which are sorted and do not touch."""
    edges = [-1, *(edge for span in spans for edge in span), sys.maxunicode + 1]
    return [(low + 1, high - 1) for low, high in zip(edges[::2], edges[1::2], strict=True) if low + 1 < high]


def _ranges(spans: _Spans) -> str:
    return "".join(
        re.escape(chr(low)) + (f"-{re.escape(chr(high))}" if high > low else "") for low, high in spans
    )
