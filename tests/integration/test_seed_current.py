"""A monorepo in the state that a caching plan begins with: lint fixes it, and it builds as before."""

from __future__ import annotations

import json
import re
import secrets
import shutil

import pytest
from conftest import TestEngine
from projects import ROOT, Repo

pytestmark = [pytest.mark.engine, pytest.mark.nightly]

CONFIG = """
[tool.lamina.images]
base-receipt-dynamo.dockerfile = "infra/base_images/receipt_dynamo/Dockerfile"
base-receipt-label.dockerfile = "infra/base_images/receipt_label/Dockerfile"
embedding.dockerfile = "infra/embedding_step_functions/embed/Dockerfile"

[tool.lamina.images.word-label]
dockerfile = "infra/word_label_step_functions/label/Dockerfile"
args.BASE_IMAGE = "base-receipt-dynamo:latest"

[tool.lamina.secrets]
ca = { file = "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}", optional = true }
"""
SEED = {
    "force-reinstall",
    "package-again",
    "source-with-dependencies",
    "no-cache-dir",
    "own-base-latest",
    "base-argument",
    "no-ignore-file",
    "no-link",
}
"""The plan's list: repeated installs, bases under moving names, a context without limits."""


@pytest.fixture
def seed(repo: Repo) -> Repo:
    shutil.copytree(ROOT / "tests/data/seed-current", repo.root, dirs_exist_ok=True)
    repo.append("pyproject.toml", CONFIG)
    # The engine keeps its cache between runs of the tests: steps shall run, and their time be known.
    repo.append("receipt_dynamo/receipt_dynamo/__init__.py", f"# {secrets.token_hex(4)}\n")
    return repo


def answers(engine: TestEngine, refs: dict[str, str]) -> list[object]:
    program = "import handler, json; print(json.dumps(handler.handler({'words': ['TOTAL', '$8.11']}, None)))"
    run = ("run", "--rm", "--workdir", "/var/task", "--entrypoint", "python3")
    return [
        json.loads(engine.call(*run, refs[image].partition("@")[0], "-c", program))
        for image in ("embedding", "word-label")
    ]


def test_lint_fixes_it_and_the_functions_answer_as_before(seed: Repo, engine: TestEngine) -> None:
    first = seed.ok("build-all", "--json")
    assert len(first.built) == 4
    before = answers(engine, first.images("ref"))
    assert before == [
        {"labels": ["receipts:WORD", "receipts:TOTAL"], "with": ["iniconfig", "pluggy", "tabulate"]},
        {"table": "receipts", "words": 2},
    ]

    found = seed.fails(6, "lint", "--json").json["findings"]
    assert {each["name"] for each in found} >= SEED
    assert any(re.search(r"took [\d.]+ s", each["why"]) for each in found)

    left = seed.ok("lint", "--fix", "--json").json["findings"]
    assert "no-ignore-file" in {each["name"] for each in left}
    seed.ok("ignore", "--write")
    mended = seed.ok("lint", "--json").json["findings"]
    assert {each["severity"] for each in mended} == {"note"}
    assert all(each["fix"] is None and each["hint"] for each in mended)
    texts = {file: file.read_bytes() for file in seed.root.rglob("Dockerfile*")}
    seed.ok("lint", "--fix")
    assert {file: file.read_bytes() for file in seed.root.rglob("Dockerfile*")} == texts

    second = seed.ok("build-all", "--json")
    assert len(second.built) == 4
    assert answers(engine, second.images("ref")) == before
    seed.ok("smoke")

    seed.append("infra/embedding_step_functions/embed/handler.py", "# edited\n")
    assert seed.ok("build-all", "--json").built == ["embedding"]
    assert seed.installs() == []

    seed.append("receipt_label/receipt_label/__init__.py", "# edited\n")
    assert seed.ok("build-all", "--json").built == ["base-receipt-label", "embedding"]
    assert not any("deps.txt" in step for step in seed.installs())
