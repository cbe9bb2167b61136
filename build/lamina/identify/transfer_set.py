"""What BuildKit's client sends of a context: the paths that sources name, and what links there lead to.

The rule is ``followlinks.go`` and ``filter.go`` of tonistiigi/fsutil. Its oddities are kept, for what is not
sent cannot be copied: names count as patterns of an ignore file, no link is followed behind a folder with a
wildcard, and a link that two sources go through is followed for the first of them alone.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from functools import cached_property

from lamina.identify.goregexp import PatternError
from lamina.identify.ignore import Ignore
from lamina.identify.tree import Files
from lamina.identify.wildcard import compile_wildcard, is_wildcard

_PLAIN = re.compile(r"[^\\\[\]^{}|!\s\ufeff]*")


class TransferSet:
    """The paths of one context that are sent together, ignore files aside."""

    def __init__(self, files: Files, sources: Iterable[str], *, over: bool = True) -> None:
        """sources: relative POSIX paths or wildcards; the empty one stands for the whole context.

        over: whether a folder with a wildcard that finds links is sent with all that it finds.
        """
        self._files = files
        self._sources = sorted(set(sources), key=_bytes)
        self._over = over
        self._named: set[str] = set()
        self._met: set[str] = set()
        self.fault: str | None = None
        """What makes BuildKit send nothing at all and fail; not known before something is asked."""

    @cached_property
    def patterns(self) -> Ignore | None:
        """What is sent, as patterns that match it; None for everything, and where there is a fault."""
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
        """Whether a path is sent, and with it all that is below."""
        if self.patterns is None:
            return self.fault is None
        return self.patterns.hides(path) is not None

    def links_leading_to(self, path: str) -> Iterator[str]:
        """The links without which a path would not be sent, though no source names them or leads there."""
        if self.holds(path) and not self._without.holds(path):
            yield from self._met

    def reaches(self, path: str) -> bool:
        """Whether a path is sent or anything below it."""
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
        """Name the path and each link on the way, with what it leads to."""
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
        """Where a link leads, or where all links do that a wildcard finds in its folder."""
        folder, _, name = path.rpartition("/")
        found = [path]
        if is_wildcard(name):
            entry = self._files.entry(folder)
            try:
                wildcard = compile_wildcard(name, deep=False)
                children = self._files.children(folder) if entry is not None and entry.kind == "dir" else ()
                found = [each.path for each in children if wildcard.fullmatch(each.path.rpartition("/")[2])]
            except (PatternError, OSError):  # told where the source itself is looked for
                return []
        entries = map(self._files.entry, found)
        links = [each for each in entries if each and each.kind == "link"]
        self._met.update(each.path for each in links if is_wildcard(name))
        return [within(each.path, each.target or "") for each in links]


def is_plain(source: str) -> bool:
    """Whether what a source finds is sent for certain: unless a link leads there, that is."""
    return _PLAIN.fullmatch(source) is not None


def within(link: str, target: str) -> str:
    """Where a link leads: a path of the context, which it cannot leave; its root stands for ``/``."""
    return posixpath.normpath(posixpath.join("/", posixpath.dirname(link), target)).lstrip("/")


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
