"""`lamina outputs` from the command line: the content of standard output, also after an error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.declare.lockfile import LOCK_FILE, Lock, Pin

from ..conftest import DIGEST, RUNTIME, Repo
from .conftest import Command

E, W = "lambda-embedding", "lambda-word-label"
TO = ("--registry", "registry.example.com", "--platform", "linux/amd64")
Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _pinned(receipts: Repo) -> Iterator[None]:
    pin = Pin(name=RUNTIME, digest=DIGEST, platforms={"linux/amd64": DIGEST})
    receipts.write(LOCK_FILE, Lock().with_pin(pin).render())
    yield
    assert not (receipts.root / ".lamina/manifest.json").exists()


def test_a_plan_of_all_functions_of_an_image(lamina: Command, receipts: Repo, capsys: Output) -> None:
    receipts.config(
        f"[tool.lamina.images.{W}]\n"
        'functions = ["words", { name = "labels", command = ["handler.label"] }]\n'
    )

    assert lamina("outputs", "--plan-only", *TO) == 0

    found = json.loads(capsys.readouterr().out)
    assert list(found) == [W, E]
    assert found[W]["uri"] == f"registry.example.com/{W}-dev:{receipts.images()[W].tag}"
    assert found[W]["functions"] == [
        {"name": "words", "command": []},
        {"name": "labels", "command": ["handler.label"]},
    ]


@pytest.mark.parametrize("form", ["json", "env", "tfvars", "cdk"])
def test_a_failure_writes_nothing_that_a_program_would_read(
    lamina: Command, capsys: Output, form: str
) -> None:
    assert lamina("outputs", "--static", "--format", form, *TO) == 3

    told = capsys.readouterr()
    assert told.out == ""
    assert f"{E} is not recorded" in told.err
    assert f"next: invoke build-all --push --image {W} {' '.join(TO)} --static" in told.err


def test_notes_are_not_in_the_document(
    lamina: Command, receipts: Repo, tmp_path: Path, capsys: Output
) -> None:
    receipts.remove(LOCK_FILE)
    for architecture in ("amd64", "arm64"):
        folder = tmp_path / f"cache/stand-ins/python3.13-{architecture}-3"
        folder.mkdir(parents=True)
        (folder / "stand-in.json").write_text(json.dumps({"digest": DIGEST, "packages": ["python3=3.13"]}))
        (folder / "image.tar").touch()

    assert lamina("outputs", "--plan-only", "--registry", "127.0.0.1:5000") == 0

    told = capsys.readouterr()
    assert list(json.loads(told.out)) == [W, E]
    assert "stand-in" in told.err


def test_an_unknown_format_is_a_usage_error(lamina: Command, capsys: Output) -> None:
    assert lamina("outputs", "--plan-only", "--format", "xml", *TO) == 2
    assert "allowed: json, env, tfvars, cdk" in capsys.readouterr().err


def test_one_image_in_variables(lamina: Command, receipts: Repo, capsys: Output) -> None:
    assert lamina("outputs", "--plan-only", "--format", "env", "--image", E, *TO) == 0
    assert capsys.readouterr().out == (
        f"LAMBDA_EMBEDDING_IMAGE_URI=registry.example.com/{E}-dev:{receipts.images()[E].tag}\n"
    )
