"""A monorepo with Dockerfiles of the usual kind builds as it is, once its images are named."""

from __future__ import annotations

import json
import shutil

import pytest
from conftest import TestEngine
from projects import ROOT, Repo

pytestmark = [pytest.mark.engine, pytest.mark.nightly]

ORDER = ["base-receipt-dynamo", "base-receipt-label", "word-label", "embedding"]


@pytest.fixture
def seed(repo: Repo) -> Repo:
    shutil.copytree(ROOT / "tests/data/seed-monorepo", repo.root, dirs_exist_ok=True)
    return repo


def answer(engine: TestEngine, ref: str, event: object) -> object:
    program = f"import handler, json; print(json.dumps(handler.handler({event!r}, None)))"
    run = ("run", "--rm", "--workdir", "/var/task", "--entrypoint", "python3", ref.partition("@")[0])
    return json.loads(engine.call(*run, "-c", program))


def test_it_builds_and_then_has_nothing_to_build(seed: Repo, engine: TestEngine) -> None:
    first = seed.ok("build-all", "--json")
    assert sorted(first.built) == sorted(ORDER)
    assert next(iter(first.images())) == ORDER[0]
    refs = first.images("ref")
    words = {"words": ["TOTAL", "$8.11"]}
    assert answer(engine, refs["word-label"], words) == {"table": "receipts", "words": 2}
    assert answer(engine, refs["embedding"], words) == {
        "labels": ["receipts:WORD", "receipts:TOTAL"],
        "with": "iniconfig",
    }

    assert seed.ok("build-all", "--json").built == []
    seed.append("README.md", "More words.\n")
    seed.append("receipt_dynamo/tests/test_table.py", "# more\n")
    assert seed.ok("build-all", "--json").built == []

    seed.append("infra/embedding_step_functions/embed/handler.py", "# edited\n")
    edited = seed.ok("build-all", "--json")
    assert edited.built == ["embedding"]
    assert seed.installs() == []

    # A README that is metadata of a wheel reaches the images that install it (S5).
    seed.append("receipt_label/README.md", "More about it.\n")
    plan = seed.ok("plan", "--json")
    assert {name for name, action in plan.images().items() if action == "build"} == {
        "base-receipt-label",
        "embedding",
    }
