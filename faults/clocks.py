"""Wrong times: of the machine's clock, of files, and of SOURCE_DATE_EPOCH."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
import threading
from functools import cache
from pathlib import Path

from faults.cases import Fault
from faults.edits import edit_once
from faults.scene import Scene

_TIMES = (0, 1, -(2**31), 2**31 - 1, 2**31 + 1, 2**32 + 1, 253_402_300_800)
"""Seconds: 1970, 1901, both sides of 2038, 2106, the year 10000."""
_EPOCHS = ("0", "1", "315532800", "4102444800", "", "-1", "soon", "1e9", "99999999999999999999")
_REFUSED = frozenset({0, 2})
_FETCHING = threading.Lock()


def _file_times(scene: Scene) -> None:
    """Date files in the past and the future; edits must be noticed, even those that keep the time."""
    scene.push = scene.random.random() < 0.5
    for _ in range(2):
        for file in sorted((scene.repo.root / "src").rglob("*")):
            seconds = scene.random.choice(_TIMES)
            os.utime(file, (seconds, seconds))
        scene.run()
        edit_once(scene.repo.root, scene.random)


def _epoch(scene: Scene) -> None:
    """Set SOURCE_DATE_EPOCH, to a sensible value or not."""
    scene.push = scene.random.random() < 0.5
    scene.run(allowed=_REFUSED, env={"SOURCE_DATE_EPOCH": scene.random.choice(_EPOCHS)})


def _machine(scene: Scene) -> None:
    """Move the machine's clock between runs: back before files were written, or far ahead."""
    library = faketime()
    if library is None:
        scene.struck = False
        return
    scene.push = scene.random.random() < 0.5
    for _ in range(3):
        when = f"@{scene.random.randint(1990, 2099)}-01-01 00:00:00"
        env = {"LD_PRELOAD": str(library), "FAKETIME": when}
        scene.run(env=env)
        edit_once(scene.repo.root, scene.random)


def faketime() -> Path | None:
    """Return libfaketime, unpacked but not installed; None if it cannot be fetched."""
    with _FETCHING:
        return _fetch()


@cache
def _fetch() -> Path | None:
    folder = Path(tempfile.mkdtemp(prefix="lamina-faults-clock-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    option = ("-o", "APT::Sandbox::User=root")
    try:
        subprocess.run(
            ["apt-get", *option, "download", "libfaketime"], cwd=folder, check=True, capture_output=True
        )
        for archive in folder.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(archive), str(folder)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return next(folder.rglob("libfaketime.so.1"), None)


FAULTS = (
    Fault(name="clock.files", what="files dated 1901 to 9999", strike=_file_times, quick=1, full=3),
    Fault(name="clock.epoch", what="SOURCE_DATE_EPOCH, sensible or not", strike=_epoch, quick=2, full=3),
    Fault(
        name="clock.machine",
        what="the machine's clock jumps between 1990 and 2099",
        strike=_machine,
        quick=1,
        full=2,
    ),
)
