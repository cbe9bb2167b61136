"""Full disks."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faults.cases import Fault
from faults.scene import Scene

_TOLD = frozenset({0, 1})
_REGISTRY_TOLD = frozenset({0, 5})
_PAGE = 4096


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """Mount a disk of this size (bytes) at a folder; the folder's own content is hidden until the end."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def grow(folder: Path) -> None:
    """Make such a disk larger than any fault needs."""
    subprocess.run(["mount", "-o", "remount,size=256m", str(folder)], check=True)


def _state(scene: Scene) -> None:
    """Fill the disk of ``.lamina`` at any moment of a run, up to the last page it would write."""
    scene.push = scene.random.random() < 0.5
    with small_disk(scene.state, scene.random.randint(1, 40) * _PAGE):
        run = scene.run(allowed=_TOLD)
        scene.struck = run.code != 0
        scene.look()
        grow(scene.state)
        scene.recover()


def _registry(scene: Scene) -> None:
    """Fill the registry's disk during a push.

    The registry keeps empty files from that time and answers 500 for them ever after, so they are removed
    with the fault.
    """
    storage = scene.ground.storage
    with small_disk(storage, scene.random.randint(1, 25) * _PAGE):
        run = scene.run(allowed=_REGISTRY_TOLD)
        scene.struck = run.code != 0
        grow(storage)
        for file in storage.rglob("*"):
            if file.is_file() and not file.stat().st_size:
                file.unlink()
        scene.recover()
    scene.trusted = False  # the unmounted disk is gone, and the images with it


def _temporary(scene: Scene) -> None:
    """Fill the disk of temporary files."""
    folder = scene.repo.root.parent / "tmp"
    with small_disk(folder, scene.random.randint(1, 12) * _PAGE):
        scene.run(allowed=_TOLD, env={"TMPDIR": str(folder)})


FAULTS = (
    Fault(name="disk.state", what="`.lamina` is on a full disk", strike=_state, quick=5, full=8),
    Fault(name="disk.registry", what="the registry's disk is full", strike=_registry, quick=4, full=5),
    Fault(name="disk.temporary", what="TMPDIR is on a full disk", strike=_temporary, quick=1, full=2),
)
