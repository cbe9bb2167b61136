"""Edits of a tree while it is built."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from faults.cases import Fault
from faults.project import filler, write_edition
from faults.scene import Scene

_BUILDS = 4
_CODES = frozenset({0, 1, 2})
"""Built from the tree of one moment, or refused: a source was missing, or changed while it was read."""


def edit_once(root: Path, random: Random) -> None:
    """Make one change that affects an image."""
    random.choice((_append, _rewrite, _keep_size_and_time, _add, _mode, _edition))(root, random)


def edit_code(root: Path, random: Random) -> None:
    """Make one change that affects an image, of a file that it copies."""
    random.choice((_append, _rewrite, _keep_size_and_time, _add, _mode))(root, random)


def _append(root: Path, random: Random) -> None:
    with _source(root, random).open("a") as file:
        file.write(f"# {random.getrandbits(48):x}\n")


def _rewrite(root: Path, random: Random) -> None:
    """Rewrite a file in place and in two parts, as many editors do: for a moment it is cut."""
    file = random.choice(sorted((root / "src/pack").iterdir()))
    text = filler(random)
    with file.open("w") as sink:
        sink.write(text[: len(text) // 2])
        sink.flush()
        os.fsync(sink.fileno())  # takes a moment
        sink.write(text[len(text) // 2 :])


def _keep_size_and_time(root: Path, random: Random) -> None:
    """Change bytes but keep the size and the modification time."""
    file = _source(root, random)
    before = file.stat()
    text = file.read_text()
    head, _, tail = text.rpartition("# ")
    other = "".join(
        random.choice("0123456789abcdef") if each in "0123456789abcdef" else each for each in tail
    )
    file.write_text(f"{head}# {other}")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def _add(root: Path, random: Random) -> None:
    (root / f"src/pack/{random.randrange(6, 9)}.txt").write_text(filler(random))


def _remove(root: Path, random: Random) -> None:
    """Remove a file of `_add`. The project's first files stay, so that the folder is never empty."""
    (root / f"src/pack/{random.randrange(6, 9)}.txt").unlink(missing_ok=True)


def _mode(root: Path, random: Random) -> None:
    file = random.choice(sorted((root / "src/pack").iterdir()))
    file.chmod(file.stat().st_mode ^ 0o111)


def _edition(root: Path, random: Random) -> None:
    write_edition(root, f"{random.getrandbits(32):x}")


def _source(root: Path, random: Random) -> Path:
    return root / f"src/{random.choice(('dynamo', 'label', 'handler'))}.py"


@contextmanager
def edited(root: Path, random: Random, pause: float) -> Iterator[list[int]]:
    """Edit the tree in a thread until the end; yield a list with the number of edits.

    Args:
        pause: the longest pause between two edits, in seconds.
    """
    over = threading.Event()
    count = [0]

    def work() -> None:
        while not over.wait(random.uniform(0, pause)):
            edit_once(root, random)
            if random.random() < 0.2:
                _remove(root, random)
            count[0] += 1

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    try:
        yield count
    finally:
        over.set()
        worker.join()


def _edit_during_builds(scene: Scene, pause: float) -> None:
    scene.push = scene.random.random() < 0.5
    scene.moving = True
    with edited(scene.repo.root, Random(scene.random.random()), pause):
        for _ in range(_BUILDS):
            scene.run(allowed=_CODES)


def _edit_between(scene: Scene) -> None:
    """Make one edit of any kind between two builds, also one that keeps size and time."""
    scene.push = scene.random.random() < 0.5
    for _ in range(_BUILDS):
        scene.run()
        edit_once(scene.repo.root, scene.random)


FAULTS = (
    Fault(
        name="edits.rapid",
        what="up to a hundred edits a second while four builds run",
        strike=lambda scene: _edit_during_builds(scene, 0.01),
        quick=2,
        full=4,
    ),
    Fault(
        name="edits.slow",
        what="a few edits a second while four builds run",
        strike=lambda scene: _edit_during_builds(scene, 0.3),
        quick=2,
        full=4,
    ),
    Fault(
        name="edits.between",
        what="edits between builds, some keep size and time of the file",
        strike=_edit_between,
        quick=2,
        full=3,
    ),
)
