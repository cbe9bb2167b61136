"""Watch folders for saved files, in bursts, by the operating system's notifications."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from lamina.errors import ConfigError
from lamina.identify.excludes import DEFAULT_EXCLUDES

_QUIET_MS = 100
"""A burst ends when nothing is saved for this long."""
_LONGEST_MS = 2_000
_TICK_MS = 200
_DRAFTS = ("*.sw?", "*~", ".#*", "#*#", "4913", "*.tmp")
"""Temporary files of editors."""


def saves(roots: Iterable[Path]) -> Iterator[frozenset[Path]]:
    """Yield an empty set once the watch has started, then the files of each burst of saves.

    Files saved between two calls are in the next burst. Ctrl-C raises KeyboardInterrupt. Raises ConfigError
    if the folders cannot be watched.
    """
    import watchfiles

    folders = sorted(roots)
    found = watchfiles.watch(
        *folders,
        watch_filter=lambda _, path: matters(Path(path), folders),
        debounce=_LONGEST_MS,
        step=_QUIET_MS,
        rust_timeout=_TICK_MS,
        yield_on_timeout=True,
    )
    began = False
    try:
        for changes in found:
            if changes or not began:
                began = True
                yield frozenset(Path(path) for _, path in changes)
    except RuntimeError as error:  # watchfiles' error for any other reason, such as a limit of watches
        raise ConfigError.of(
            f"the folders cannot be watched: {error}",
            where=", ".join(map(str, folders)),
            hint="export WATCHFILES_FORCE_POLLING=true",
        ) from None


def matters(path: Path, roots: Iterable[Path]) -> bool:
    """Whether a file can reach an image: not a tool's state, and not an editor's temporary file."""
    root = max((each for each in roots if path.is_relative_to(each)), key=lambda each: len(each.parts))
    parts = path.relative_to(root).parts
    hidden = any(fnmatchcase(part, pattern) for part in parts for pattern in DEFAULT_EXCLUDES)
    return not hidden and not any(fnmatchcase(path.name, pattern) for pattern in _DRAFTS)
