"""Find faults of an ignore file: rules that hide sources or name missing paths, and outdated text."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from lamina.adopt.allowlist import AllowList, Reader
from lamina.errors import Problem
from lamina.identify.ignore import Ignore
from lamina.identify.tree import shown
from lamina.identify.wildcard import fixed_part, is_wildcard

_WRITE = "invoke ignore --write"


def find_stale_rules(
    file: str,
    text: str | None,
    rules: Ignore,
    readers: tuple[Reader, ...],
    made: AllowList,
    *,
    generated: bool,
) -> Iterator[Problem]:
    """Yield the faults of a Dockerfile's ignore file.

    Args:
        file: its path.
        text: its content, None if it does not exist.
        rules: the current rules.
        made: the list that would be generated.
        generated: whether the file was generated.
    """
    if text is None:
        yield Problem(
            what="no such file: the context is not limited to this Dockerfile's sources",
            where=file,
            hint=_WRITE,
        )
        return
    yield from _hiding(rules, readers)
    yield from _dangling(file, rules, readers)
    if generated and text != made.text:
        line, old, new = _first_difference(text, made.text)
        yield Problem(
            what=f"out of date: {shown(old)} would be {shown(new)}",
            where=f"{file}:{line}",
            hint=_WRITE,
        )


def _hiding(rules: Ignore, readers: tuple[Reader, ...]) -> Iterator[Problem]:
    """Yield sources that a rule hides, each once."""
    seen: set[tuple[str, int]] = set()
    for reader in readers:
        for missing in reader.reach(rules)[1]:
            rule = missing.hidden_by
            if rule is not None and rule.line and (missing.path, rule.line) not in seen:
                seen.add((missing.path, rule.line))
                source = f"{missing.source.instruction} {shown(missing.path)}"
                at = reader.recipe.dockerfile.where(missing.source.line)
                yield Problem(
                    what=f"`{rule.text}` hides a source of {at}: {source}",
                    where=f"{rule.source}:{rule.line}",
                    hint=_WRITE,
                )


def _dangling(file: str, rules: Ignore, readers: tuple[Reader, ...]) -> Iterator[Problem]:
    """Yield the file's exceptions for paths that do not exist."""
    for rule in rules.rules:
        if not rule.negated or rule.source != file:
            continue
        fixed = fixed_part(rule.pattern) if is_wildcard(rule.pattern) else rule.pattern.replace("\\", "")
        if fixed and all(reader.files.entry(fixed) is None for reader in readers):
            yield Problem(
                what=f"`{rule.text}` matches nothing: {shown(fixed)} does not exist",
                where=f"{file}:{rule.line}",
                hint=_WRITE,
            )


def _first_difference(before: str, after: str) -> tuple[int, str, str]:
    """Return the number of the first line that differs, and that line of both texts."""
    pairs = itertools.zip_longest(before.splitlines(), after.splitlines())
    differing = ((number, pair) for number, pair in enumerate(pairs, start=1) if pair[0] != pair[1])
    number, (old, new) = next(differing, (1, ("", "")))
    return number, _quoted(old), _quoted(new)


def _quoted(line: str | None) -> str:
    return "nothing" if line is None else f"`{line}`"
