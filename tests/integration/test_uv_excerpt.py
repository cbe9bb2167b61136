"""uv installs the same from an excerpt as from the whole lock. It needs neither network nor engine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from lamina.declare.dockerfile import parse_dockerfile
from lamina.declare.script import read_script
from lamina.declare.uv_commands import lock_uses
from lamina.declare.uv_lock import read_uv_lock
from uv_workspace import WORKSPACE

UV = Path(sys.executable).with_name("uv")
MEMBERS = ("common", "ingest", "report", "store", "web")
OPTIONS = ("", "--no-dev", "--no-default-groups", "--all-groups", "--group dev", "--all-extras")
CASES = (*product(MEMBERS, OPTIONS), ("ingest", "--no-dev --group lint"), ("web", "--extra fast"))
LOCK = (WORKSPACE / "uv.lock").read_text("utf-8")


@pytest.mark.parametrize(("member", "options"), CASES)
def test_uv_exports_the_same(tmp_path: Path, member: str, options: str) -> None:
    command = f"uv export --frozen --offline --no-header --no-emit-workspace --package {member} {options}"
    shutil.copytree(WORKSPACE, tmp_path, dirs_exist_ok=True)
    whole = exported(command, tmp_path)
    (tmp_path / "uv.lock").write_text(excerpt_for(command), "utf-8")

    assert exported(command, tmp_path) == whole


def excerpt_for(command: str) -> str:
    parsed = parse_dockerfile(f"FROM x\nRUN {command}\n", "Dockerfile")
    (use,) = lock_uses(read_script(parsed, parsed.stages[0].instructions[0]).commands, {})
    lock = read_uv_lock(LOCK)
    return lock.excerpt(replace(use.selection, folders=frozenset(lock.folders.values())))


def exported(command: str, folder: Path) -> str:
    words = [str(UV), *command.split()[1:]]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
