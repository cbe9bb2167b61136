"""A file that keeps what was computed for later commands. It proves itself: a damaged one counts as absent.

The first line is a digest of the content, of the code that computed it, and of the Python that ran the code.
So nothing computed by another version of Lamina is ever used. The version is in it as well, because all files
of a reproducible installation may have the same time.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from lamina.files import write_atomic
from lamina.json_data import Json

_LAMINA = Path(__file__).parents[1]


def read_kept(file: Path, packages: Iterable[str]) -> Json:
    """Return what a file keeps; None if it is absent, damaged or by other code.

    packages: those of Lamina whose code decides what is kept.
    """
    try:
        proof, _, body = file.read_bytes().partition(b"\n")
    except OSError:
        return None
    if proof != _proof(body, packages):
        return None
    document: Json = json.loads(body)
    return document


def write_kept(file: Path, document: Json, packages: Iterable[str]) -> None:
    """Keep a document for later commands. If the disk refuses, only speed is lost."""
    body = json.dumps(document, separators=(",", ":")).encode("ascii")
    try:
        write_atomic(file, _proof(body, packages) + b"\n" + body)
    except OSError:
        return


def _proof(body: bytes, packages: Iterable[str]) -> bytes:
    code = [sys.version, _version(), *(_code(package) for package in packages)]
    return hashlib.sha256(repr(code).encode() + body).hexdigest().encode()


@cache
def _version() -> bytes:
    """Return the module that has Lamina's version."""
    return (_LAMINA / "__init__.py").read_bytes()


@cache
def _code(package: str) -> tuple[tuple[str, int, int], ...]:
    """Return name, size and time of the modules of a package."""
    return tuple(_modules(_LAMINA / package))


def _modules(folder: Path) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as found:
        for each in sorted(found, key=lambda each: each.name):
            if each.name.endswith(".py"):
                status = each.stat()
                yield each.name, status.st_size, status.st_mtime_ns
