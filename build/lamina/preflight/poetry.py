"""What calls of poetry take from a ``poetry.lock``, by the groups that it notes at each package."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from lamina.identify.fingerprint import distribution
from lamina.patterns import regex
from lamina.values import dataclass

POETRY_LOCK = "poetry.lock"
_PACKAGE = regex(r"^\[\[package\]\]\r?\n", re.MULTILINE)
_NAME = regex(r'^name = "([^"]+)"', re.MULTILINE)
_GROUPS = regex(r"^(?:groups|category) = (.*)", re.MULTILINE)
_FLAGS = frozenset(
    {
        *(
            "--no-root",
            "--no-dev",
            "--no-interaction",
            "-n",
            "--no-ansi",
            "--no-cache",
            "--sync",
            "--compile",
        ),
        *("--all-extras", "--all-groups", "--without-hashes", "--without-urls", "-q", "-v", "-vv", "-vvv"),
        "--quiet",
    }
)
_VALUED = frozenset({"--only", "--without", "--with", "--extras", "-E", "-f", "--format", "-o", "--output"})
_QUIET = frozenset({"config", "--version", "check", "cache", "env", "about"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PoetryUse:
    """What a call takes. output: the file of an export. Groups: empty for all that are not left out."""

    only: frozenset[str]
    without: frozenset[str]
    output: str | None

    def split(self, lock: str) -> tuple[frozenset[str], frozenset[str]]:
        """Return what may be installed of a lock, and what certainly is not; extras may all be."""
        taken: set[str] = set()
        others: set[str] = set()
        for block in _PACKAGE.split(lock)[1:]:
            name, noted = _NAME.search(block), _GROUPS.search(block)
            groups = set(re.findall(r'"([^"]+)"', noted[1])) if noted else set()
            used = groups & self.only if self.only else groups - self.without
            if name is not None:
                (taken if used or not groups else others).add(distribution(name[1]))
        return frozenset(taken), frozenset(others - taken)


def is_quiet_poetry(words: Sequence[str]) -> bool:
    """Whether a call of poetry installs nothing. words: without the program."""
    return words[:1] != [] and (words[0] in _QUIET or list(words[:2]) == ["self", "add"])


def poetry_use(words: Sequence[str]) -> PoetryUse | None:
    """Return what a call takes from the lock in its folder; None if that is not known."""
    if words[:1] == [] or words[0] not in {"install", "sync", "export"}:
        return None
    options = list(_options(words[1:]))
    if None in options:
        return None
    given: dict[str, set[str]] = {}
    for name, value in filter(None, options):
        given.setdefault(name, set()).update(each.strip() for each in value.split(","))
    outputs = given.get("-o", set()) | given.get("--output", set())
    return PoetryUse(
        only=frozenset(given.get("--only", set())),
        without=frozenset(given.get("--without", set()) | ({"dev"} if "--no-dev" in given else set())),
        output=next(iter(outputs), None),
    )


def _options(words: Sequence[str]) -> Iterator[tuple[str, str] | None]:
    """Yield the name and value of each option; None for a word that is not known."""
    at = 0
    while at < len(words):
        name, given, value = words[at].partition("=")
        at += 1
        if name in _VALUED and not given:
            value = words[at] if at < len(words) else ""
            at += 1
        elif name not in _VALUED and (given or name not in _FLAGS):
            if ">" in name or words[at - 2 : at - 1] == [">"]:
                continue
            yield None
        yield name, value
