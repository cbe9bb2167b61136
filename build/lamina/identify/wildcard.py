"""Wildcards of COPY and ADD. They follow Go's ``filepath.Match``, unlike those of an ignore file."""

from __future__ import annotations

import re
from functools import cache

from lamina.identify.goregexp import PatternError
from lamina.patterns import regex

_WILD = regex(r"(?:^|[^\\])(?:\\\\)*[*?[]")
_SPAN = regex(r"(\\.|[^\\\]-])(?:-(\\.|[^\\\]-]))?", re.DOTALL)
_PART = regex(rf"\*\*/|\*|\[(?P<not>\^|(?!\^))(?P<members>(?:{_SPAN.pattern})+)\]|\\.|.", re.DOTALL)


def is_wildcard(path: str) -> bool:
    """Whether a path contains a wildcard character that is not escaped."""
    return _WILD.search(path) is not None


def fixed_part(pattern: str) -> str:
    """Return the folder in which a wildcard starts to search."""
    parts = pattern.split("/")
    return "/".join(parts[: next(index for index, part in enumerate(parts) if is_wildcard(part))])


@cache
def compile_wildcard(pattern: str, *, deep: bool) -> re.Pattern[str]:
    """Compile a pattern to a regular expression.

    Args:
        deep: Whether ``**/`` spans folders, as in ``COPY --parents``.

    Raises:
        PatternError: Where Go reports an error.
    """
    out: list[str] = []
    for found in _PART.finditer(pattern):
        part = found.group()
        if part == "**/" and deep:
            out.append("(?:.*/)?")
        elif part[0] == "*":
            out.append("[^/]*" + "/" * part.endswith("/"))
        elif part == "?":
            out.append("[^/]")
        elif part[0] == "[" and len(part) > 1:
            out.append(_set(found["not"], found["members"]))
        elif part in {"[", "\\"}:
            raise PatternError(f"`{pattern[found.start() :]}` is not a set of characters")
        else:
            out.append(re.escape(part[-1]))
    return re.compile("".join(out), re.DOTALL)


def _set(negated: str, members: str) -> str:
    """Translate a set. Go accepts an empty range such as ``z-a``, which matches nothing."""
    spans = [(low[-1], (high or low)[-1]) for low, high in _SPAN.findall(members)]
    inside = "".join(f"{re.escape(low)}-{re.escape(high)}" for low, high in spans if low <= high)
    if not inside:
        return "." if negated else "(?!)"
    return f"[{negated}{inside}]"
