"""Canonical instructions in readable form, and the differences between two lists of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TypedDict

from lamina.patterns import regex

_PAIRED = frozenset({"ENV", "LABEL"})
_BLANKS = regex(r"\s+")
_CONTEXT_LINES = 1


class _Parts(TypedDict, total=False):
    """What an instruction has besides its words. heredocs: pairs of name and content."""

    flags: list[str]
    json: bool
    heredocs: list[list[str]]


def instruction_diff(before: Sequence[str], after: Sequence[str]) -> tuple[str, ...]:
    """Return removed (``- ``) and added (``+ ``) lines with one unchanged line around them.

    Args:
        before: Canonical instructions; so is ``after``. If both read the same, the canonical lines are shown.
    """
    old, new = ([line for each in lines for line in readable(each)] for lines in (before, after))
    return tuple(_diff(before, after) if old == new else _diff(old, new))


def readable(canonical: str) -> tuple[str, ...]:
    """Return an instruction as it could be in a Dockerfile: its line, then the bodies of its heredocs."""
    name, _, rest = canonical.partition(" ")
    if name == "ONBUILD":
        first, *more = readable(rest)
        return (f"ONBUILD {first}", *more)
    try:
        words, end = json.JSONDecoder().raw_decode(rest)
        parts: _Parts = json.loads(rest[end:] or "{}")
        text = " ".join(
            [name, *parts.get("flags", ()), *_words(name, words, as_json=bool(parts.get("json")))]
        )
        return (text, *_bodies(parts.get("heredocs", ())))
    except (ValueError, TypeError, AttributeError):  # FROM, ARG and directives are plain text
        return (canonical,)


def _words(name: str, words: list[str], *, as_json: bool) -> Iterator[str]:
    if as_json:
        yield json.dumps(words, ensure_ascii=False)
    elif name in _PAIRED:
        yield from (f"{key}={value}" for key, value in zip(words[::2], words[1::2], strict=True))
    else:  # continuation lines are joined with the blanks before them
        yield from (_BLANKS.sub(" ", word) for word in words)


def _bodies(heredocs: Sequence[Sequence[str]]) -> Iterator[str]:
    for name, content in heredocs:
        yield from content.splitlines()
        yield name


def _diff(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    from difflib import SequenceMatcher  # most changes are of files

    matcher = SequenceMatcher(a=old, b=new, autojunk=False)
    for group in matcher.get_grouped_opcodes(_CONTEXT_LINES):
        for operation, i1, i2, j1, j2 in group:
            if operation == "equal":
                yield from (f"  {line}" for line in old[i1:i2])
            else:
                yield from (f"- {line}" for line in old[i1:i2])
                yield from (f"+ {line}" for line in new[j1:j2])
