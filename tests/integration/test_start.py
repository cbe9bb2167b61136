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
import dataclasses, json, os, sys
costly, standard = [], dataclasses.dataclass
def noted(cls=None, /, **options):
    if options.get("frozen"):
        costly.append(sys._getframe(1).f_globals["__name__"])
    return standard(cls, **options)
dataclasses.dataclass = noted
before = set(sys.modules)
sys.argv = ["lamina", *sys.argv[1:]]
from lamina.__main__ import main
try:
    main()
except SystemExit as end:
    code = end.code or 0
new = set(sys.modules) - before
tops = {name.partition(".")[0] for name in new}
others = sorted(tops - sys.stdlib_module_names - {"lamina"})
ours = sorted(name for name in new if name.partition(".")[0] == "lamina")
slow = sorted(new & set(SLOW))
found = {"code": code, "others": others, "ours": ours, "slow": slow, "costly": costly}
os.write(2, ("\\n" + json.dumps(found)).encode())
"""
SLOW = (
    *("concurrent.futures", "csv", "http.client", "importlib.metadata", "platform"),
    *("shutil", "ssl", "subprocess", "tarfile", "tempfile"),
)
"""Modules of the standard library that take long to import and that known images do not need."""
MOST_OF_OURS = 100
"""Modules of Lamina that a plan of known images loads. A new one needs a reason; four are of uv.lock and two
spare its parsing."""
UNUSED = (
    "execute.engine",
    "execute.bake",
    "execute.append",
    "flow.append",
    "identify.runnable",
    "preflight.check",
    "telemetry",
    "telemetry.command_run",
)


def imported(folder: Path, *words: str, **env: str) -> dict[str, set[str]]:
    """What a command imports in a process of its own. costly: modules with values of the standard library."""
    done = subprocess.run(
        [sys.executable, "-c", f"SLOW = {SLOW}\n{LOADED}", *words],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(done.stderr.splitlines()[-1])
    assert report["code"] == 0, done.stdout + done.stderr
    return {kind: set(report[kind]) for kind in ("others", "ours", "slow", "costly")}


def loaded(folder: Path, *words: str, **env: str) -> set[str]:
    """The third-party packages that a command imports in a process of its own."""
    return imported(folder, *words, **env)["others"]


@pytest.mark.parametrize("words", [("--version",), ("--help",), ("--list",), ("why", "--help"), ()])
def test_help_needs_the_standard_library_alone(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert loaded(tmp_path, *words) == set()


def test_init_reads_terraform_by_a_library_only_if_there_is_some(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "main.tf").write_text('resource "aws_s3_bucket" "files" {}\n')

    assert loaded(tmp_path, "init").isdisjoint({"hcl2", "lark", "regex"})


def test_a_plan_needs_the_parser_of_dockerfiles_alone(tmp_path: Path) -> None:
    copy_sample(tmp_path)

    assert loaded(tmp_path, "plan", "--offline") <= {"dockerfile"}
    assert loaded(tmp_path, "plan", "--offline", "--json") <= {"dockerfile"}


def test_a_plan_of_known_images_imports_neither_checks_nor_builders(tmp_path: Path) -> None:
    copy_sample(tmp_path)
    assert imported(tmp_path, "plan", "--offline")["costly"] == set()

    found = imported(tmp_path, "plan", "--offline")

    assert found["slow"] == set()
    assert found["costly"] == set()  # made by lamina.values, which takes less than half of the time
    assert found["ours"].isdisjoint({f"lamina.{each}" for each in UNUSED})
    assert len(found["ours"]) <= MOST_OF_OURS, sorted(found["ours"])


def test_a_build_of_nothing_asks_the_engine_with_the_standard_library(tiny: Repo) -> None:
    tiny.ok("build-all")

    for command in ("build-all", "plan"):
        found = imported(tiny.root, command, **tiny.env)
        assert found["others"] <= {"dockerfile"}
        assert found["slow"] == set()
        assert found["ours"].isdisjoint({"lamina.telemetry"})
