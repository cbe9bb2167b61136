"""Unwritable outputs and early signals: no traceback, and a fixed exit code."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def shell(folder: Path, line: str) -> tuple[int, str]:
    """Run a line of bash in which $LAMINA is the command; its exit code and standard error."""
    command = f"LAMINA='{sys.executable} -m lamina'; {line}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("$LAMINA --list > /dev/full", 1, "standard output cannot be written: No space left on device"),
        ("$LAMINA config --json > /dev/full", 1, "No space left on device"),
        ("$LAMINA config > /dev/full", 1, "No space left on device"),
        ("$LAMINA config --json >&-", 0, ""),
        ("$LAMINA config >&- 2>&- <&-", 0, ""),
        ("$LAMINA config | (exec <&-; sleep 0)", 141, ""),
    ],
)
def test_an_unwritable_output_gives_no_traceback(tmp_path: Path, line: str, code: int, says: str) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.lamina]\n")

    ended, told = shell(tmp_path, line)

    assert ended == code, told
    assert says in told
    assert "Traceback" not in told
    assert "Exception" not in told


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_during_imports(tmp_path: Path, number: str, code: int) -> None:
    """A module of that name is imported for words that are left to Invoke, and never finishes."""
    (tmp_path / "invoke.py").write_text(
        "import pathlib, time\npathlib.Path('begun').touch()\ntime.sleep(60)\n"
    )
    default = ("env", "--default-signal=INT,TERM,HUP")  # nohup and background jobs ignore some of them
    child = subprocess.Popen(
        [*default, sys.executable, "-m", "lamina", "--echo"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "begun").exists():
        time.sleep(0.02)

    child.send_signal(getattr(signal, number))
    _, told = child.communicate(timeout=60)

    assert child.returncode == code
    assert told == "error: stopped; nothing was begun\n"


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["build"], ["build", "build-all", "build-base", "build-lambda"]),
        (["build", ""], ["one", "two"]),
        (["build", "--image", "=", "t"], ["two"]),
        (["rule", "no-cache-m"], ["no-cache-mount"]),
        (["report", "2026"], ["20260101T000000-abcdef"]),
    ],
)
def test_bash_completes_commands_images_rules_and_runs(
    tmp_path: Path, words: list[str], offered: list[str]
) -> None:
    for name in ("one", "two"):
        (tmp_path / "dockerfiles" / name).mkdir(parents=True)
        (tmp_path / "dockerfiles" / name / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "pyproject.toml").write_text("[tool.lamina]\n")
    (tmp_path / ".lamina/runs/20260101T000000-abcdef").mkdir(parents=True)
    (tmp_path / ".lamina/runs/20260101T000000-abcdef/run.json").write_text("{}")
    line = shlex.join(["lamina", *words])
    script = f"""
lamina() {{ {shlex.quote(sys.executable)} -m lamina "$@"; }}
source <(lamina --print-completion-script=bash)
COMP_WORDS=({line}); COMP_CWORD={len(words)}
_complete_lamina lamina {shlex.quote(words[-1])}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""

    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.stderr == ""
    assert done.stdout.split() == offered
