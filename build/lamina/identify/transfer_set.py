"""The paths of a context that BuildKit's client sends: those named by sources, and the targets of links.

Source: ``followlinks.go`` and ``filter.go`` of tonistiigi/fsutil. Oddities are kept, since a file that is not
sent cannot be copied. Names are read as patterns of an ignore file. A link behind a folder with a wildcard is
not followed. A link shared by two sources is followed only for the first of them.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from functools import cached_property

from lamina.identify.goregexp import PatternError
from lamina.identify.ignore import Ignore
from lamina.identify.tree import Files
from lamina.identify.wildcard import compile_wildcard, is_wildcard

_MEANS = frozenset("\\[]^{}|!\ufeff")
"""The characters of a name that a pattern reads as something else; spaces are trimmed."""


class TransferSet:
    """The paths of one context that are sent together, before ignore rules."""

    def __init__(self, files: Files, sources: Iterable[str], *, over: bool = True) -> None:
        """Set up the sources; links are followed on first use.

        Args:
            sources: Relative POSIX paths or wildcards; the empty string means the whole context.
            over: Whether a folder wildcard that matches links sends all its matches.
        """
        self._files = files
        self._sources = sorted(set(sources), key=_bytes)
        self._over = over
        self._named: set[str] = set()
        self._met: set[str] = set()
        self.fault: str | None = None
        """Why BuildKit would fail and send nothing. Known only after the first query."""

    @cached_property
    def patterns(self) -> Ignore | None:
        """The sent paths as patterns; None if everything is sent, or if there is a `fault`."""
        if "" in self._sources:
            return None
        for path in self._sources:
            self._follow(path)
        if "" in self._named:
            return None
        try:
            return Ignore.patterns(self._outermost(), "the sources")
        except PatternError as error:
            self.fault = str(error)
            return None

    @cached_property
    def _without(self) -> TransferSet:
        return TransferSet(self._files, self._sources, over=False)

    def holds(self, path: str) -> bool:
        """Whether a path is sent, together with everything below it."""
        if self.patterns is None:
            return self.fault is None
        return self.patterns.hides(path) is not None

    def links_leading_to(self, path: str) -> Iterator[str]:
        """Yield the links that cause a path to be sent although no source names it or leads to it."""
        if self.holds(path) and not self._without.holds(path):
            yield from self._met

    def reaches(self, path: str) -> bool:
        """Whether a path or anything below it is sent."""
        if self.holds(path):
            return True
        entry = self._files.entry(path)
        below = self._files.children(path) if entry is not None and entry.kind == "dir" else ()
        return any(self.reaches(child.path) for child in below)

    def _outermost(self) -> Iterator[str]:
        last = ""
        for path in sorted(self._named, key=_bytes):
            if not path.startswith(f"{last}/"):
                yield path
                last = path

    def _follow(self, path: str) -> None:
        """Add the path, each link on the way and the targets of those links."""
        parts = path.split("/") if path else []
        step = ""
        for index, part in enumerate(parts):
            step = posixpath.join(step, part)
            is_last = index == len(parts) - 1
            targets = self._targets(step) if is_last or self._over or not is_wildcard(part) else []
            if targets:
                if step not in self._named:
                    self._named.add(step)
                    for target in targets:
                        self._follow("/".join((*filter(None, (target,)), *parts[index + 1 :])))
                return
        self._named.add(step)

    def _targets(self, path: str) -> list[str]:
        """Return the target of a link, or of every link that a wildcard matches in its folder."""
        folder, _, name = path.rpartition("/")
        found = [path]
        if is_wildcard(name):
            entry = self._files.entry(folder)
            try:
                wildcard = compile_wildcard(name, deep=False)
                children = self._files.children(folder) if entry is not None and entry.kind == "dir" else ()
                found = [each.path for each in children if wildcard.fullmatch(each.path.rpartition("/")[2])]
            except (PatternError, OSError):  # reported where the source itself is resolved
                return []
        entries = map(self._files.entry, found)
        links = [each for each in entries if each and each.kind == "link"]
        self._met.update(each.path for each in links if is_wildcard(name))
        return [within(each.path, each.target or "") for each in links]


def is_plain(source: str) -> bool:
    """Whether everything a source matches is certainly sent, unless reached through a link."""
    return _MEANS.isdisjoint(source) and not any(map(str.isspace, source))


def within(link: str, target: str) -> str:
    """Return a link's target as a path of the context, which it cannot leave. Its root stands for ``/``."""
    return posixpath.normpath(posixpath.join("/", posixpath.dirname(link), target)).lstrip("/")


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
