"""Blobs on their way, and those that this process has pushed: another repository mounts them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from lamina.refs import Reference

if TYPE_CHECKING:
    from tempfile import SpooledTemporaryFile

_SPOOL_BYTES = 8 << 20


def spool_file() -> SpooledTemporaryFile[bytes]:
    """Open a file for a blob on its way; it is in memory as long as it is small."""
    from tempfile import SpooledTemporaryFile  # most commands need none

    return SpooledTemporaryFile(max_size=_SPOOL_BYTES)


class Uploads:
    """Remembers where each blob was pushed. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._of_blob: dict[str, Lock] = {}
        self._pushed: dict[str, Reference] = {}

    @contextmanager
    def pushing(self, digest: str, target: Reference) -> Iterator[Reference | None]:
        """Give the reference of a repository that has the blob, None if it must be sent to the target.

        Threads with the same blob wait until it is sent. If that fails, the next one sends it.
        """
        with self._lock:
            lock = self._of_blob.setdefault(digest, Lock())
        with lock:
            if digest not in self._pushed:
                yield None
                self._pushed[digest] = target
                return
        yield self._pushed[digest]
