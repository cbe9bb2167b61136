"""One source path of COPY, with the patterns of ``--parents`` and ``--exclude``.

The patterns have the syntax of an ignore file. Each applies independently to names below the source: below
each match of a wildcard, or below the part of a ``--parents`` path before ``/./``. The source itself is never
excluded. Source: ``copy/copy.go`` of tonistiigi/fsutil.
"""

from __future__ import annotations

import posixpath
from dataclasses import replace

from lamina.declare.recipe import SourceFiles
from lamina.identify.ignore import Folder, Ignore
from lamina.identify.transfer_set import is_plain
from lamina.identify.wildcard import fixed_part, is_wildcard
from lamina.values import dataclass

_WITH_WILDCARDS = frozenset({"COPY", "ADD"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CopySource:
    """One path of a source.

    Attributes:
        path: Relative to the context's root.
        only: Patterns that names below must match; None means everything.
        less: Patterns of names to leave out.
    """

    source: SourceFiles
    written: str
    path: str
    only: Ignore | None
    less: Ignore | None
    is_sent: bool
    """Whether everything it matches is certainly sent, unless it is found through a link."""

    @classmethod
    def read(cls, source: SourceFiles, written: str) -> CopySource:
        """Parse a path of a source. Raises PatternError for a malformed pattern of a flag."""
        path, only, less = written, None, None
        known = source.paths is not None
        if source.parents and known:
            path, pivot, pattern = written.partition("/./")
            if not pivot:
                path, pattern = "/", written
            only = Ignore.patterns([rooted(pattern)], source.instruction)
        if source.excludes and known:  # these patterns apply below the source, wherever it is
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
        """Whether the path is a wildcard. Mounts take their path literally."""
        return self.source.instruction in _WITH_WILDCARDS and is_wildcard(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Patterns that the names in a folder must match, or must not. stems: their fixed beginnings."""

    folder: Folder
    match: bool
    stems: tuple[str, ...]

    @classmethod
    def at(cls, place: str, patterns: Ignore, *, match: bool) -> Filter:
        """Return the filter for a folder, given by its path relative to the root of the patterns."""
        texts = [rule.pattern for rule in patterns.rules if not rule.negated]
        stems = (fixed_part(each) if is_wildcard(each) else each for each in texts)
        return cls(folder=patterns.folder(place), match=match, stems=tuple(stems))

    def passes(self, name: str) -> bool:
        """Whether this filter lets a name in the folder through."""
        return (self.folder.hides(name) is not None) is self.match

    def enter(self, name: str) -> Filter:
        """Return the filter for a subfolder."""
        return replace(self, folder=self.folder.enter(name))

    @property
    def closed(self) -> bool:
        """Whether nothing below the folder can pass."""
        if not self.match:
            return not self.folder.walked
        here = f"{self.folder.path}/"
        near = (not stem or f"{stem}/".startswith(here) or here.startswith(f"{stem}/") for stem in self.stems)
        return self.folder.hidden_by is None and not any(near)


def rooted(written: str) -> str:
    """Return a source path relative to the context's root, which ``..`` cannot leave, as in BuildKit."""
    return posixpath.normpath(f"/{written}").lstrip("/")
