"""``python -m bench.load FILE``: keep a processor and a disk busy until the folder of FILE is gone."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

_CHUNK = bytes(1 << 20)
_CHUNKS = 32


def burn(file: Path) -> None:
    """Write, flush and hash again and again until the file can no longer be written."""
    while file.parent.is_dir():
        digest = hashlib.sha256()
        try:
            with file.open("wb") as sink:
                for _ in range(_CHUNKS):
                    sink.write(_CHUNK)
                    digest.update(_CHUNK)
                sink.flush()
                os.fsync(sink.fileno())
        except FileNotFoundError:
            return


if __name__ == "__main__":
    burn(Path(sys.argv[1]))
