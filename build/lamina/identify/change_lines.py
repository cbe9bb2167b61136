"""Format changes for people: one line each, many files as one line, instructions cut where they differ."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence

from lamina.identify.explain import FOLDER, InputChange
from lamina.identify.tree import shown
from lamina.values import dataclass

CROWD = 10
"""Up to this number, files with the same kind of change are listed. Above it, they are summarised."""
_CROWDED = {
    **{each: each for each in ("added", "removed", "modified")},
    "mode": "made executable or not",
    "retargeted": "linked to another target",
}
_MOST_LINES = 20
_WIDTH = 100
_LEAD = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeLine:
    """A line, and further lines for those who want details."""

    line: str
    details: tuple[str, ...] = ()


def describe_changes(changes: Iterable[InputChange]) -> tuple[ChangeLine, ...]:
    """Return the changes in their order, as printable lines of limited length."""
    return tuple(_lines(changes))


def _lines(changes: Iterable[InputChange]) -> Iterator[ChangeLine]:
    listed = list(changes)
    crowds: dict[tuple[str, str], list[InputChange]] = {}
    for each in listed:
        crowds.setdefault((each.kind, each.context), []).append(each)
    for each in listed:
        crowd = crowds[each.kind, each.context]
        if each.kind not in _CROWDED or len(crowd) <= CROWD:
            yield ChangeLine(line=each.text, details=excerpt(each.diff))
        elif each is crowd[0]:
            yield _crowd(crowd)


def _crowd(changes: Sequence[InputChange]) -> ChangeLine:
    """Summarise files with one kind of change: their number and folder, and the first ones in detail."""
    files = [each for each in changes if FOLDER not in {each.before, each.after}]
    counted = files or changes
    folder = posixpath.commonpath([posixpath.dirname(each.subject) for each in counted])
    place = counted[0].place + folder
    below = f" below {shown(place.removesuffix('/'))}" if place else ""
    more = len(counted) - CROWD
    return ChangeLine(
        line=f"{len(counted)} {'files' if files else 'folders'} {_CROWDED[counted[0].kind]}{below}",
        details=(
            *(each.text for each in counted[:CROWD]),
            *([f"and {more} more; --json lists them"] if more > 0 else []),
        ),
    )


def excerpt(diff: Sequence[str]) -> tuple[str, ...]:
    """Return a diff for the screen: limited in length, with long lines cut to where they differ."""
    lines = [shown(line) for line in diff[:_MOST_LINES]]
    changed = [line[2:] for line in lines if line[0] != " "]
    start = 0
    if len(changed) > 1 and any(len(line) > _WIDTH for line in changed):
        start = max(0, len(posixpath.commonprefix(changed)) - _LEAD)
    more = len(diff) - len(lines)
    return (*(_cut(line, start) for line in lines), *([f"  and {more} more lines"] if more > 0 else []))


def _cut(line: str, start: int) -> str:
    mark, text = line[:2], line[2:]
    first = 0 if mark == "  " else start
    kept = text[first : first + _WIDTH]
    return f"{mark}{'…' if first else ''}{kept}{'…' if first + _WIDTH < len(text) else ''}"
