"""Files that must never be half written."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

EPOCH = 315_532_800
"""1980-01-01, the oldest date that zip files can hold: the time of what has no time of its own."""


def write_atomic(file: Path, content: str | bytes, *, mode: int = 0o644) -> None:
    """Put content under a name in one step: readers see the old file or the new one. Makes the folder."""
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
    """A folder of state is nothing to commit, whatever the project's own ignore files say; once there."""
    ignored = folder / ".gitignore"
    with contextlib.suppress(OSError):
        if folder.is_dir() and not ignored.exists():
            write_atomic(ignored, "*\n")


def write_json(file: Path, document: Any) -> None:
    """A JSON document, readable by people, in one step."""
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    # A file name that is no UTF-8 has lone surrogates; written as \udc80, they are JSON's own escapes.
    write_atomic(file, text.encode("utf-8", "backslashreplace"))


def read_json(file: Path) -> Any | None:
    """The document, or None when the file is not there or is damaged: state is only a cache."""
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None
