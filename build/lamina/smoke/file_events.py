"""Watch folders for saved files, in bursts, by the operating system's notifications."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread

from lamina.errors import ConfigError
from lamina.identify.excludes import DEFAULT_EXCLUDES

_QUIET_MS, _QUICK_QUIET_MS = 100, 20
"""A burst ends when nothing is saved for this long: one that is built, and one that is answered before."""
_LONGEST_MS = 2_000
_TICK_MS = 200
_DRAFTS = ("*.sw?", "*~", ".#*", "#*#", "4913", "*.tmp")
"""Temporary files of editors."""


@contextmanager
def bursts(
    roots: Iterable[Path], at_once: Callable[[frozenset[Path]], None] | None = None
) -> Iterator[Iterator[frozenset[Path]]]:
    """Give an iterator as of `saves`, which is left before the end of the block.

    at_once: called for each burst in a thread of its own, also while one before is worked on; then what the
    iterator yields are all files saved since it was asked last.
    """
    if at_once is None:
        yield saves(roots)
        return
    stop = Event()
    try:
        yield ahead(saves(roots, _QUICK_QUIET_MS, stop), at_once)
    finally:
        stop.set()


def ahead(
    found: Iterable[frozenset[Path]], at_once: Callable[[frozenset[Path]], None]
) -> Iterator[frozenset[Path]]:
    """Yield all files of the bursts that came since it was asked last; raise what finding them raises.

    at_once: called for each burst that has files, in the thread that finds them.
    """
    queue: SimpleQueue[frozenset[Path] | BaseException] = SimpleQueue()
    Thread(target=_run_ahead, args=(found, at_once, queue), daemon=True).start()
    while True:
        yield _next(queue)


def _run_ahead(
    found: Iterable[frozenset[Path]],
    at_once: Callable[[frozenset[Path]], None],
    queue: SimpleQueue[frozenset[Path] | BaseException],
) -> None:
    try:
        for burst in found:
            if burst:
                at_once(burst)
            queue.put(burst)
    except BaseException as error:
        queue.put(error)


def _next(queue: SimpleQueue[frozenset[Path] | BaseException]) -> frozenset[Path]:
    """Wait for a burst, and add those that follow without a pause."""
    found: frozenset[Path] = frozenset()
    wait, end = None, 0.0
    while True:
        try:
            burst = queue.get(timeout=wait)
        except Empty:
            return found
        if isinstance(burst, BaseException):
            raise burst
        found |= burst
        end = end or time.monotonic() + _LONGEST_MS / 1000
        wait = min(_QUIET_MS / 1000, max(0.0, end - time.monotonic())) if found else 0.0


def saves(
    roots: Iterable[Path], quiet: int = _QUIET_MS, stop: Event | None = None
) -> Iterator[frozenset[Path]]:
    """Yield an empty set once the watch has started, then the files of each burst of saves.

    Files saved between two calls are in the next burst. Ctrl-C raises KeyboardInterrupt. Raises ConfigError
    if the folders cannot be watched.

    Args:
        quiet: A burst ends when nothing is saved for so many milliseconds.
        stop: Ends the watch once it is set.
    """
    import watchfiles

    folders = sorted(roots)
    found = watchfiles.watch(
        *folders,
        watch_filter=lambda _, path: matters(Path(path), folders),
        debounce=_LONGEST_MS,
        step=quiet,
        stop_event=stop,
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
