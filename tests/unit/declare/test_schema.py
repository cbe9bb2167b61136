"""The JSON schema that editors read: it is up to date, takes what Lamina takes and refuses misspelt keys."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from lamina.declare.config import KEYS, load_project
from lamina.declare.page import settings_page
from lamina.declare.schema import SCHEMA_FILE, make_schema, render
from lamina.errors import ConfigError

from ..conftest import Repo

ROOT = Path(__file__).parents[3]
BLOCK = re.compile(r"^ *```toml\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
SCHEMA = Draft7Validator(make_schema())
EVERYTHING = """
[tool.lamina]
registry = "ecr"
stack = "prod"
jobs = 4
cache = "min"
provenance = "max"
[tool.lamina.args]
VERSION = 3
[tool.lamina.images.app]
kind = "lambda"
platform = "linux/arm64"
functions = ["one-{stack}", { name = "two", command = ["handler.two"] }]
args = { DEBUG = true }
contexts = { shared = "shared" }
[tool.lamina.secrets]
token = { file = "token", optional = true }
[tool.lamina.ecr]
account = "123456789012"
region = "eu-west-1"
readers = ["123456789013", "arn:aws:iam::123456789014:role/reader"]
template = "team"
[tool.lamina.gc]
keep-last = 3
look-in = [{ region = "eu-west-1", role = "arn:aws:iam::123456789012:role/reader" }]
[tool.lamina.lint]
ignore = ["LAM106"]
[tool.lamina.codebuild]
bucket = "builds"
timeout = 30
image-arm64 = "aws/codebuild/amazonlinux-aarch64-standard:3.0"
secrets = { token = "ssm:/token" }
"""


def table(text: str) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads(text)["tool"]["lamina"]
    return found


def faults(text: str) -> list[str]:
    return [each.message for each in SCHEMA.iter_errors(table(text))]


def test_the_schema_is_what_the_generator_writes() -> None:
    assert SCHEMA_FILE.read_text() == render(), (
        "python -m lamina.declare.schema > build/lamina/lamina.schema.json"
    )
    Draft7Validator.check_schema(json.loads(SCHEMA_FILE.read_text()))


def test_the_page_of_settings_is_made_from_the_schema() -> None:
    page = Path(__file__).parents[3] / "docs/settings.md"

    assert page.read_text("utf-8") == settings_page(), "python -m lamina.declare.page > docs/settings.md"


def test_every_key_says_what_it_is_for() -> None:
    def silent(schema: Any, path: str = "") -> Iterator[str]:
        for name, each in schema.get("properties", {}).items():
            if "description" not in each and "properties" not in each:
                yield f"{path}.{name}"
            yield from silent(each, f"{path}.{name}")

    assert make_schema()["properties"].keys() == KEYS.keys()  # type: ignore[attr-defined]
    assert [*silent(make_schema())] == []


def test_every_setting_of_a_project_is_valid(app: Repo) -> None:
    app.write("shared/more.py")
    app.config(EVERYTHING)

    assert load_project(app.root, env={})
    assert faults(EVERYTHING) == []


@pytest.mark.parametrize("file", [ROOT / "pyproject.toml", ROOT / "tests/data/seed-monorepo/pyproject.toml"])
def test_the_configurations_of_this_repository_are_valid(file: Path) -> None:
    assert faults(file.read_text()) == []


def documented() -> Iterator[tuple[str, str]]:
    """The configurations in the documentation: the file, and the text."""
    for file in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for block in BLOCK.findall(file.read_text()):
            if "[tool.lamina" in block:
                yield file.name, block


def test_the_configurations_in_the_documentation_are_valid() -> None:
    examples = [*documented()]

    assert len(examples) >= 5
    assert [(file, found) for file, text in examples if (found := faults(text))] == []


@pytest.mark.parametrize("layout", ["layout-sam", "layout-shared"])
def test_a_proposal_of_init_is_valid(
    repo: Repo, layout: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lamina.tasks import program

    shutil.copytree(ROOT / "tests/data" / layout, repo.root, dirs_exist_ok=True)
    repo.write("pyproject.toml")
    monkeypatch.chdir(repo.root)

    assert program.run(["init", "--json"]) == 0
    assert faults(json.loads(capsys.readouterr().out)["toml"]) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("stack =", "stak ="),
        ("kind =", "kinds ="),
        ("optional =", "optinal ="),
        ("readers =", "reader ="),
        ("keep-last =", "keep_last ="),
        ("ignore =", "ignored ="),
        ("timeout =", "time-out ="),
        ("command =", "cmd ="),
        ("role =", "rol ="),
        ("tool.lamina.gc", "tool.lamina.garbage"),
        ('"min"', '"most"'),
        ("jobs = 4", "jobs = -1"),
        ('"prod"', "3"),
        ("timeout = 30", "timeout = 1"),
        ('"123456789012"\nregion', '"1234"\nregion'),
        ("images.app]", 'images."App!"]'),
    ],
)
def test_a_setting_that_lamina_refuses_is_not_valid(app: Repo, old: str, new: str) -> None:
    app.write("shared/more.py")
    text = EVERYTHING.replace(old, new, 1)
    assert text != EVERYTHING
    app.config(text)

    assert faults(text) != []
    with pytest.raises(ConfigError):
        load_project(app.root, env={})
