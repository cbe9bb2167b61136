"""What is wrong with an ignore file by now: it hides what is copied, names what is gone, is out of date."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from lamina.adopt.allowlist import AllowList, Reader
from lamina.errors import Problem
from lamina.identify.ignore import Ignore
from lamina.identify.tree import shown
from lamina.identify.wildcard import fixed_part, is_wildcard

_WRITE = "invoke ignore --write"


def find_rot(
    file: str,
    text: str | None,
    rules: Ignore,
    readers: tuple[Reader, ...],
    made: AllowList,
    *,
    generated: bool,
) -> Iterator[Problem]:
    """The faults of the file that BuildKit reads for a Dockerfile. rules: those that hold now.

    file: the Dockerfile's own ignore file; text: what is in it, None where there is none.
    """
    if text is None:
        yield Problem(
            what="there is no such file: the context is not this Dockerfile's own", where=file, hint=_WRITE
        )
        return
    yield from _hiding(rules, readers)
    yield from _dangling(file, rules, readers)
    if generated and text != made.text:
        line, old, new = _first_difference(text, made.text)
        yield Problem(
            what=f"would be written differently: {shown(old)} is now {shown(new)}",
            where=f"{file}:{line}",
            hint=_WRITE,
        )


def _hiding(rules: Ignore, readers: tuple[Reader, ...]) -> Iterator[Problem]:
    """Sources that a rule hides, each once."""
    told: set[tuple[str, int]] = set()
    for reader in readers:
        for missing in reader.reach(rules)[1]:
            rule = missing.hidden_by
            if rule is not None and rule.line and (missing.path, rule.line) not in told:
                told.add((missing.path, rule.line))
                source = f"{missing.source.instruction} {shown(missing.path)}"
                at = reader.recipe.dockerfile.where(missing.source.line)
                yield Problem(
                    what=f"`{rule.text}` hides what {at} takes: {source}",
                    where=f"{rule.source}:{rule.line}",
                    hint=_WRITE,
                )


def _dangling(file: str, rules: Ignore, readers: tuple[Reader, ...]) -> Iterator[Problem]:
    """Exceptions of the file for what is not there."""
    for rule in rules.rules:
        if not rule.negated or rule.source != file:
            continue
        place = fixed_part(rule.pattern) if is_wildcard(rule.pattern) else rule.pattern.replace("\\", "")
        if place and all(reader.files.entry(place) is None for reader in readers):
            yield Problem(
                what=f"`{rule.text}` names nothing: there is no {shown(place)}",
                where=f"{file}:{rule.line}",
                hint=_WRITE,
            )


def _first_difference(before: str, after: str) -> tuple[int, str, str]:
    """The number of the first line that differs, and that line in both texts."""
    pairs = itertools.zip_longest(before.splitlines(), after.splitlines())
    differing = ((number, pair) for number, pair in enumerate(pairs, start=1) if pair[0] != pair[1])
    number, (old, new) = next(differing, (1, ("", "")))
    return number, _quoted(old), _quoted(new)


def _quoted(line: str | None) -> str:
    return "nothing" if line is None else f"`{line}`"
