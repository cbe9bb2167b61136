"""What commands import: each third-party module costs every call of the command its time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from projects import Repo, copy_sample

LOADED = """
import json, os, sys
before = set(sys.modules)
sys.argv = ["lamina", *sys.argv[1:]]
from lamina.__main__ import main
try:
    main()
except SystemExit as end:
    code = end.code or 0
ours = {name.partition(".")[0] for name in set(sys.modules) - before}
others = sorted(ours - sys.stdlib_module_names - {"lamina"})
os.write(2, ("\\n" + json.dumps({"code": code, "others": others})).encode())
"""


def loaded(folder: Path, *words: str, **env: str) -> set[str]:
    """The third-party packages that a command imports in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *words],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(done.stderr.splitlines()[-1])
    assert report["code"] == 0, done.stdout + done.stderr
    return set(report["others"])


@pytest.mark.parametrize("words", [("--version",), ("--help",), ("--list",), ("why", "--help"), ()])
def test_help_needs_the_standard_library_alone(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert loaded(tmp_path, *words) == set()


def test_a_plan_needs_the_parser_of_dockerfiles_alone(tmp_path: Path) -> None:
    copy_sample(tmp_path)

    assert loaded(tmp_path, "plan", "--offline") <= {"dockerfile"}
    assert loaded(tmp_path, "plan", "--offline", "--json") <= {"dockerfile"}


def test_a_build_of_nothing_asks_the_engine_with_the_standard_library(tiny: Repo) -> None:
    tiny.ok("build-all")

    assert loaded(tiny.root, "build-all", **tiny.env) <= {"dockerfile"}
    assert loaded(tiny.root, "plan", **tiny.env) <= {"dockerfile"}
