"""Atomic writes of files, locks, and the folder of the cache."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

EPOCH = 315_532_800
"""1980-01-01 in seconds, the oldest date a zip file can hold; used for files without a time of their own."""


def write_atomic(file: Path, content: str | bytes, *, mode: int = 0o644) -> None:
    """Replace ``file`` atomically: readers see the old content or the new. Creates the parent folder."""
    raw = content.encode("utf-8") if isinstance(content, str) else content
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = f"{file.parent}/.{file.name}.{os.urandom(8).hex()}"  # tempfile takes long to import
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as sink:
            sink.write(raw)
            os.fchmod(sink.fileno(), mode)
        Path(temporary).replace(file)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise


def keep_out_of_git(folder: Path) -> None:
    """Write a ``.gitignore`` that ignores everything in an existing state folder, unless it has one."""
    ignored = folder / ".gitignore"
    with contextlib.suppress(OSError):
        if folder.is_dir() and not ignored.exists():
            write_atomic(ignored, "*\n")


def write_json(file: Path, document: object) -> None:
    """Write an indented JSON document atomically."""
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    # A file name that is not UTF-8 has lone surrogates; written as \udc80, they are JSON escapes.
    write_atomic(file, text.encode("utf-8", "backslashreplace"))


def read_json(file: Path) -> Any:
    """Read a JSON document; None when the file is missing or damaged, since state is only a cache.

    Its shape is not checked: a reader expects that of an earlier version.
    """
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def with_home(path: str) -> Path:
    """Return a path with ``~`` replaced as a shell does it: that of a user who does not exist stays."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - pathlib's raises an error


def cache_home(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the cache of downloads, engines and logins, outside the repository.

    It is ``$LAMINA_CACHE``, else ``$XDG_CACHE_HOME/lamina``, else ``~/.cache/lamina``.
    """
    if own := environ.get("LAMINA_CACHE"):
        return with_home(own).absolute()
    if shared := environ.get("XDG_CACHE_HOME"):
        return with_home(shared).absolute() / "lamina"
    return Path(environ.get("HOME") or Path.home()) / ".cache" / "lamina"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``, waiting for its holder. The kernel releases it when the process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def draft_beside(final: Path) -> Iterator[Path]:
    """Yield a new folder beside ``final`` to make it in; what was not moved out of it is removed at the end.

    Folders that killed runs left are removed too, except files that a program of theirs still writes.
    """
    import shutil  # a plan makes no folder in this way
    import tempfile

    prefix = f".{final.name}.tmp"
    for stale in final.parent.glob(f"{prefix}*"):
        shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=final.parent, ignore_cleanup_errors=True) as draft:
        yield Path(draft)
