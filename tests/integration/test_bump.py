"""`lamina bump` with uv itself, which resolves from wheels in a folder and needs no network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from projects import ROOT

from trees import Tree

pytestmark = pytest.mark.nightly

PROJECT = """\
[project]
name = "mono"
version = "1"
requires-python = ">=3.11"
dependencies = ["parcel"]

[tool.uv]
no-index = true
find-links = ["wheels"]
"""
DOCKERFILE = """\
FROM public.ecr.aws/lambda/python:3.13 AS deps
RUN --mount=type=bind,source=uv.lock,target=uv.lock \\
    --mount=type=bind,source=pyproject.toml,target=pyproject.toml \\
    uv export --frozen --no-emit-project -o /tmp/r.txt && uv pip install --target /rootfs -r /tmp/r.txt
FROM public.ecr.aws/lambda/python:3.13
COPY --link --from=deps /rootfs /var/task/
COPY --link handler.py /var/task/
CMD ["handler.handler"]
"""
ENV = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "UV_PYTHON": sys.executable,
}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path)
    tree.folder("wheels")
    for version, tag in (("1.0", "py3-none-any"), ("2.0", "cp312-cp312-manylinux_2_17_x86_64")):
        with zipfile.ZipFile(tree.root / f"wheels/parcel-{version}-{tag}.whl", "w") as wheel:
            info = f"parcel-{version}.dist-info"
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: parcel\nVersion: {version}\n")
            wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
            wheel.writestr(f"{info}/RECORD", "")
    tree.write("pyproject.toml", PROJECT.replace('"parcel"', '"parcel<2"'))
    tree.write("handler.py", "def handler(event, context): ...\n")
    tree.write("dockerfiles/app/Dockerfile", DOCKERFILE)
    run(tree, "uv", "lock", "--quiet")
    tree.write("pyproject.toml", PROJECT)
    run(tree, "uv", "lock", "--quiet")
    return tree


def run(tree: Tree, *words: str, code: int = 0) -> str:
    done = subprocess.run(words, cwd=tree.root, env=ENV, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


def lamina(tree: Tree, *words: str, code: int = 0) -> Any:
    words = (*words, "--json", "--platform", "linux/amd64") if words[0] == "plan" else (*words, "--json")
    return json.loads(run(tree, sys.executable, "-m", "lamina", *words, code=code))


def test_uv_moves_the_lock_and_says_why_it_cannot(tree: Tree) -> None:
    before = lamina(tree, "plan", "--offline")["images"][0]["tag"]

    found = lamina(tree, "bump", "parcel==2.0", "--check", "--write", code=6)
    assert [each["requirement"] for each in found["missing"]] == ["parcel==2.0"]
    assert (found["images"][0]["tag_before"], found["written"]) == (before, [])

    written = lamina(tree, "bump", "parcel==2.0", "--write")
    assert written["written"] == ["uv.lock"]
    assert written["images"][0]["reasons"][0] == "requirement parcel==1.0 -> parcel==2.0"
    assert lamina(tree, "plan", "--offline")["images"][0]["tag"] == written["images"][0]["tag"]
    run(tree, "uv", "lock", "--check", "--quiet")

    refused = lamina(tree, "bump", "parcel==3.0", code=2)
    assert "No solution found" in json.dumps(refused["messages"])
    assert str(ROOT) not in json.dumps(refused)
