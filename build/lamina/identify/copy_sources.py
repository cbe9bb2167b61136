"""What one source of COPY asks for: a path, and what of a folder ``--parents`` and ``--exclude`` leave.

Patterns are those of an ignore file, but each stands by itself and means names below the source: below each
match of a wildcard, below the part of a ``--parents`` path before ``/./``. The source itself is never left
out. The rule is ``copy/copy.go`` of tonistiigi/fsutil.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace

from lamina.declare.recipe import SourceFiles
from lamina.identify.ignore import Folder, Ignore
from lamina.identify.transfer_set import is_plain
from lamina.identify.wildcard import fixed_part, is_wildcard

_WITH_WILDCARDS = frozenset({"COPY", "ADD"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CopySource:
    """One path of a source. path: from the context's root; only: what counts of a folder, all when None;
    less: what of that does not."""

    source: SourceFiles
    written: str
    path: str
    only: Ignore | None
    less: Ignore | None
    is_sent: bool
    """Whether all that it finds is sent for certain, unless it is found through a link."""

    @classmethod
    def read(cls, source: SourceFiles, written: str) -> CopySource:
        """Raises PatternError for a malformed ``--exclude`` or ``--parents`` pattern."""
        path, only, less = written, None, None
        known = source.paths is not None
        if source.parents and known:
            path, pivot, pattern = written.partition("/./")
            if not pivot:
                path, pattern = "/", written
            only = Ignore.patterns([rooted(pattern)], source.instruction)
        if source.excludes and known:  # they mean names below the source, wherever that is
            less = Ignore.patterns(source.excludes, source.instruction)
        return cls(
            source=source,
            written=written,
            path=rooted(path),
            only=only,
            less=less,
            is_sent=not source.parents and is_plain(rooted(path)),
        )

    @property
    def is_wildcard(self) -> bool:
        """Whether the path stands for others; a mount's is taken as it is."""
        return self.source.instruction in _WITH_WILDCARDS and is_wildcard(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Patterns at a folder that its names must match, or must not. stems: how each of them begins."""

    folder: Folder
    match: bool
    stems: tuple[str, ...]

    @classmethod
    def at(cls, place: str, patterns: Ignore, *, match: bool) -> Filter:
        """The filter at a folder, whose path is relative to where the patterns begin."""
        texts = [rule.pattern for rule in patterns.rules if not rule.negated]
        stems = (fixed_part(each) if is_wildcard(each) else each for each in texts)
        return cls(folder=patterns.folder(place), match=match, stems=tuple(stems))

    def passes(self, name: str) -> bool:
        """Whether a name in the folder counts, as far as this filter goes."""
        return (self.folder.hides(name) is not None) is self.match

    def enter(self, name: str) -> Filter:
        """The filter in a folder of that name."""
        return replace(self, folder=self.folder.enter(name))

    @property
    def closed(self) -> bool:
        """Whether nothing in the folder can pass."""
        if not self.match:
            return not self.folder.walked
        here = f"{self.folder.path}/"
        near = (not stem or f"{stem}/".startswith(here) or here.startswith(f"{stem}/") for stem in self.stems)
        return self.folder.hidden_by is None and not any(near)


def rooted(written: str) -> str:
    """A source path as BuildKit takes it: from the context's root, which it cannot leave."""
    return posixpath.normpath(f"/{written}").lstrip("/")
