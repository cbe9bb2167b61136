"""The rules of docs/preflight.md about uv and pip against the tools, without network and engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lamina.preflight.tools import WRONG_OPTIONS
from preflight_cases import WORKSPACE
from trees import Tree

UV = str(Path(sys.executable).with_name("uv"))
OFFLINE = {"UV_OFFLINE": "1", "UV_PYTHON_DOWNLOADS": "never", "UV_PYTHON": sys.executable}
BACKEND = (
    '[build-system]\nrequires = ["uv_build"]\nbuild-backend = "uv_build"\n'
    '[tool.uv.build-backend]\nmodule-root = ""\n'
)
"""The only one that uv brings along."""


def run(tree: Tree, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in a folder, in which nothing of the caller's environment of uv counts."""
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("UV_", "VIRTUAL_", "PIP_"))
    }
    return subprocess.run(
        words, cwd=tree.root, env={**env, **OFFLINE}, capture_output=True, text=True, check=False
    )


def uv(tree: Tree, *words: str, fails: str = "") -> None:
    """A command of uv that must end well, or fail and say so."""
    done = run(tree, UV, *words)
    assert (done.returncode != 0) is bool(fails), done.stderr
    assert fails in " ".join(done.stderr.split())  # uv breaks lines


@pytest.fixture
def workspace(tmp_path: Path) -> Tree:
    """A workspace whose project depends on both members, with its lock."""
    tree = Tree(tmp_path)
    for name, text in WORKSPACE.items():
        tree.write(name, text + (BACKEND if name.startswith("packages") and name.endswith(".toml") else ""))
    tree.remove("uv.lock")
    uv(tree, "lock")
    return tree


@pytest.mark.parametrize(
    ("tool", "option"),
    [
        pytest.param(
            tool, option, marks=[] if tool[0] == "uv" else [pytest.mark.nightly]
        )  # pip starts slowly
        for tool, options in WRONG_OPTIONS.items()
        for option in options
    ],
)
def test_the_tools_refuse_the_options_that_are_reported(
    tmp_path: Path, tool: tuple[str, ...], option: str
) -> None:
    words = (UV, *tool[1:]) if tool[0] == "uv" else (sys.executable, "-m", *tool)

    done = run(Tree(tmp_path), *words, option, "nothing")

    assert done.returncode != 0
    assert any(said in done.stderr for said in ("unexpected argument", "no such option", "unsupported"))


def test_a_member_that_is_not_copied_fails_the_sync(workspace: Tree) -> None:
    workspace.remove("packages/other")

    uv(workspace, "sync", "--frozen", fails="Distribution not found at: file:")
    uv(workspace, "sync", "--locked", "--package", "lib", fails="is not a workspace member")
    uv(workspace, "sync", "--frozen", "--no-install-workspace")
    uv(workspace, "sync", "--frozen", "--package", "lib")


def test_only_the_environment_of_uv_finds_what_it_installs(workspace: Tree) -> None:
    uv(workspace, "sync", "--frozen")

    inside = run(workspace, ".venv/bin/python", "-c", "import lib")
    outside = run(workspace, sys.executable, "-I", "-c", "import lib")

    assert inside.returncode == 0, inside.stderr
    assert "No module named 'lib'" in outside.stderr


def test_a_project_of_another_python_is_refused(workspace: Tree) -> None:
    workspace.edit("packages/lib/pyproject.toml", ">=3.11", ">=3.99")

    uv(workspace, "pip", "install", "--target=deps", "./packages/lib", fails="does not satisfy Python>=3.99")
    workspace.edit("pyproject.toml", ">=3.11", ">=3.99")
    workspace.remove("uv.lock")
    uv(workspace, "lock", fails="do not permit this version")


def test_an_editable_project_needs_its_source(workspace: Tree) -> None:
    for options, code in (((), 1), (("--no-editable", "--reinstall"), 0)):
        uv(workspace, "sync", "--frozen", *options)
        workspace.move("packages/lib/lib", "packages/lib/moved")
        done = run(workspace, ".venv/bin/python", "-I", "-c", "import lib")
        workspace.move("packages/lib/moved", "packages/lib/lib")
        assert done.returncode == code, done.stderr
