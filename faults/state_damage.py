"""Damage files of ``.lamina``: the state is a cache, and Lamina must not trust it without proof."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from faults.cases import Fault
from faults.edits import edit_once
from faults.scene import FINE, Scene

FILES = (
    "manifest.json",
    "manifest.lock",
    "cold.json",
    "stat.json",
    ".gitignore",
    "bills/*.json",
    "bills/*/*.json",
    "runs/*/run.json",
    "runs/*/bake-*.json",
    "runs/*/events-*.jsonl",
    "runs/*/metadata-*.json",
    "context/*/*/context/src/*.py",
    "context/*/*/context/src/pack/*",
    "context/*/*/Dockerfile",
    "context/*/*/Dockerfile.dockerignore",
)
"""Each kind of file in the state."""

_RACY_SECONDS = 2.1
"""Files that were written less than two seconds ago are not remembered in ``stat.json``."""
_STUBBORN = frozenset({0, 1, 2})
"""A file that can be neither read nor replaced may end a command with a message."""
_SHAPES = (b"[]", b"null", b"{}", b'{"schema": 1}', b'{"schema": 1, "images": [3]}', b'{"schema": 99}', b'""')
_WITHOUT_PRIVILEGES = "-dac_override,-dac_read_search,-fowner"
UNPRIVILEGED = (*("setpriv", "--bounding-set", _WITHOUT_PRIVILEGES, "--inh-caps", _WITHOUT_PRIVILEGES, "--"),)
"""A command prefix: runs as root, but permissions apply as to any user."""


def _truncate(file: Path, random: Random) -> None:
    os.truncate(file, random.choice((0, file.stat().st_size // 2)))


def _flip(file: Path, random: Random) -> None:
    """Flip one bit but keep the size and times, as a fault of the disk does."""
    content, before = bytearray(file.read_bytes()), file.stat()
    if content:
        content[random.randrange(len(content))] ^= 1 << random.randrange(7)
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def _delete(file: Path, random: Random) -> None:
    del random
    file.unlink()


def _garbage(file: Path, random: Random) -> None:
    file.write_bytes(random.randbytes(random.choice((3, 200, 5_000))))


def _other_shape(file: Path, random: Random) -> None:
    """Write other JSON: another document, or one value of another type."""
    try:
        document = json.loads(file.read_bytes())
    except ValueError:
        document = None
    if not isinstance(document, dict) or not document or random.random() < 0.3:
        file.write_bytes(random.choice(_SHAPES))
        return
    inside: Any = document
    while True:
        key = random.choice([*inside] if isinstance(inside, dict) else range(len(inside)))
        if not isinstance(inside[key], (dict, list)) or not inside[key] or random.random() < 0.4:
            break
        inside = inside[key]
    inside[key] = random.choice((None, 3, "text", [], {}, [[]], {"": None}))
    file.write_text(json.dumps(document))


def _folder(file: Path, random: Random) -> None:
    del random
    file.unlink()
    file.mkdir()
    (file / "inside").write_text("in the way\n")


def _link(file: Path, random: Random) -> None:
    """Replace a file by a link to a missing file, or to itself."""
    file.unlink()
    file.symlink_to(random.choice(("nowhere", file.name)))


def _forbid(file: Path, random: Random) -> None:
    (file if random.random() < 0.5 else file.parent).chmod(random.choice((0, 0o400)))


def _damage(scene: Scene, how: Callable[[Path, Random], None], *, stubborn: bool = False) -> None:
    """Damage one file, then run again: a plain run, one after an edit, or one with --force."""
    random = scene.random
    order = Random(scene.case.fault.name).sample(FILES, len(FILES))
    pattern = order[scene.case.seed % len(FILES)]  # consecutive seeds take each pattern once
    if pattern == "stat.json":
        time.sleep(_RACY_SECONDS)
    scene.run()
    scene.look()
    files = sorted(scene.state.glob(pattern))
    if not files:  # not every run writes every file: one with cache hits only has no cold record
        scene.struck = False
        return
    file = random.choice(files)
    how(file, random)
    scene.trusted = False
    choice = random.choice(("plain", "edit", "force", "force"))
    if choice == "edit":
        edit_once(scene.repo.root, random)
    prefix = UNPRIVILEGED if how is _forbid else ()
    more = ("--force",) if choice == "force" else ()
    scene.run(*more, allowed=_STUBBORN if stubborn else FINE, prefix=prefix)
    if how is _forbid:
        _permit(scene.state)
    elif stubborn:
        _clear(file)


def _permit(state: Path) -> None:
    state.chmod(0o755)
    for folder, folders, files in os.walk(state):
        for name in (*folders, *files):
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() else 0o644)


def _clear(file: Path) -> None:
    """Remove a folder or link in a file's place, as the message asks; keep a file that replaced it."""
    if file.is_dir():
        shutil.rmtree(file)
    elif file.is_symlink():
        file.unlink()


FAULTS = (
    Fault(
        name="state.truncated",
        what="a file of `.lamina` is cut",
        strike=partial(_damage, how=_truncate),
        quick=3,
        full=len(FILES),
    ),
    Fault(
        name="state.flipped",
        what="one bit of it differs; size and times are kept",
        strike=partial(_damage, how=_flip),
        quick=3,
        full=len(FILES),
    ),
    Fault(
        name="state.deleted",
        what="it is gone",
        strike=partial(_damage, how=_delete),
        quick=2,
        full=len(FILES),
    ),
    Fault(
        name="state.garbage",
        what="it holds random bytes",
        strike=partial(_damage, how=_garbage),
        quick=3,
        full=len(FILES),
    ),
    Fault(
        name="state.other-shape",
        what="it holds JSON of another shape",
        strike=partial(_damage, how=_other_shape),
        quick=3,
        full=len(FILES),
    ),
    Fault(
        name="state.folder",
        what="a folder stands in its place",
        strike=partial(_damage, how=_folder, stubborn=True),
        quick=2,
        full=len(FILES),
    ),
    Fault(
        name="state.link",
        what="a dangling link stands in its place",
        strike=partial(_damage, how=_link, stubborn=True),
        quick=2,
        full=len(FILES),
    ),
    Fault(
        name="state.forbidden",
        what="it, or its folder, may not be read or written",
        strike=partial(_damage, how=_forbid, stubborn=True),
        quick=2,
        full=len(FILES),
    ),
)
