"""A file that keeps what was computed is of one version of Lamina."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import lamina
from lamina.files import EPOCH
from lamina.process import Command, SubprocessRunner

WRITE = "write_kept(file, {'kept': 1}, ['identify'])"
READ = "print(read_kept(file, ['identify']))"


def run(folder: Path, script: str) -> str:
    lines = (
        "from pathlib import Path",
        "from lamina.identify.kept_file import read_kept, write_kept",
        f"file = Path({str(folder / 'kept.json')!r})",
        script,
    )
    done = SubprocessRunner().run(
        Command(argv=(sys.executable, "-B", "-c", "\n".join(lines)), env={"PYTHONPATH": str(folder)})
    )
    assert done.ok, done.stderr
    return done.stdout.strip()


def install(folder: Path, version: str) -> None:
    """Install Lamina as reproducible installations do: all files have the same time."""
    package = folder / "lamina"
    shutil.rmtree(package, ignore_errors=True)
    source = Path(lamina.__file__).parent
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__", "assets"))
    start = package / "__init__.py"
    start.write_text(start.read_text().replace(f'"{lamina.__version__}"', f'"{version}"'))
    for file in package.rglob("*.py"):
        os.utime(file, (EPOCH, EPOCH))


def test_what_another_version_kept_is_not_used(tmp_path: Path) -> None:
    install(tmp_path, "7.0.0")
    run(tmp_path, WRITE)
    assert run(tmp_path, READ) == "{'kept': 1}"

    install(tmp_path, "7.0.1")

    assert run(tmp_path, READ) == "None"
