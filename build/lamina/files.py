"""Atomic writes of files."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

EPOCH = 315_532_800
"""1980-01-01 in seconds, the oldest date a zip file can hold; used for files without a time of their own."""


def write_atomic(file: Path, content: str | bytes, *, mode: int = 0o644) -> None:
    """Replace ``file`` atomically: readers see the old content or the new. Creates the parent folder."""
    raw = content.encode("utf-8") if isinstance(content, str) else content
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
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


def write_json(file: Path, document: Any) -> None:
    """Write an indented JSON document atomically."""
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    # A file name that is not UTF-8 has lone surrogates; written as \udc80, they are JSON escapes.
    write_atomic(file, text.encode("utf-8", "backslashreplace"))


def read_json(file: Path) -> Any | None:
    """Read a JSON document; None when the file is missing or damaged, since state is only a cache."""
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None
