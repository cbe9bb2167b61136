"""A monorepo that is a workspace of uv gets from nothing to a function that answers, without an edit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from projects import Repo

from bench.monorepo import make_monorepo

pytestmark = [pytest.mark.engine, pytest.mark.nightly]

UV = Path(sys.executable).with_name("uv")
CA = '\n[tool.lamina.secrets]\nca = { file = "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" }\n'
"""What the machine needs to download packages; it is not about the repository."""


def trust_the_machine(repo: Repo) -> None:
    """Let the steps that download use the machine's certificates."""
    repo.append("pyproject.toml", CA)
    for file in repo.root.glob("infra/*/Dockerfile"):
        text = file.read_text()
        text = text.replace("RUN --mount", "RUN --mount=type=secret,id=ca,target=/ca.pem --mount")
        text = text.replace("python3 -m pip install", "PIP_CERT=/ca.pem python3 -m pip install")
        text = text.replace("uv pip install --", "SSL_CERT_FILE=/ca.pem uv pip install --")
        text = text.replace("    pip install uv", "    PIP_CERT=/ca.pem pip install uv")
        file.write_text(text)


def test_a_workspace_goes_from_init_to_a_function_that_answers(repo: Repo) -> None:
    make_monorepo(repo.root, images=4, files=0.02, layout="uv")
    subprocess.run([str(UV), "lock", "--quiet"], cwd=repo.root, check=True)

    written = repo.ok("init", "--write", "--json").json
    assert len(written["dockerfiles"]) == 3
    repo.ok("ignore", "--write")
    repo.ok("lint", "--fix")
    repo.ok("sync")
    repo.ok("sync", "--check")
    assert repo.ok("lint").code == 0
    trust_the_machine(repo)
    names = [each["name"] for each in repo.ok("plan", "--json").json["images"]]
    chosen = next(each for each in names if "--from=deps /deps" in dockerfile(repo, each))

    for name in (chosen, names[0]):
        assert repo.ok("build-all", "--image", name, "--json").built == [name]
        answer = repo.ok("smoke", "--image", name, "--json").json["images"][0]
        assert answer["ok"], answer

    edited = (repo.root / "uv.lock").read_text().replace("torch-2", "torch_2")
    (repo.root / "uv.lock").write_text(edited)
    assert repo.ok("build-all", "--image", chosen, "--image", names[0], "--json").built == []


def dockerfile(repo: Repo, name: str) -> str:
    return (repo.root / "infra" / name / "Dockerfile").read_text()
