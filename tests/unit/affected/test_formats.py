"""Affected images for programs and comments."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lamina.affected.batch import BASES, Batch
from lamina.affected.formats import affected_documents, check_format, render
from lamina.affected.image import AffectedImage, waves
from lamina.errors import ConfigError

BASE = AffectedImage(
    name="base",
    how="changed",
    reasons=("a|b modified",),
    kind="base",
    platform="linux/amd64",
    folders=("lib",),
)
APP = AffectedImage(
    name="app",
    how="build",
    reasons=("1", "2", "3", "4"),
    kind="lambda",
    platform="linux/arm64",
    functions=("app-dev", "app-two"),
    parents=("base", "elsewhere"),
    folders=("app", "lib"),
)
GONE = AffectedImage(name="gone", how="removed", reasons=("only main has it",))
ALL = (BASE, APP, GONE)


def test_a_wave_follows_those_of_its_bases() -> None:
    assert waves(ALL) == {"base": 0, "app": 1, "gone": 0}
    assert [each["wave"] for each in affected_documents(ALL)] == [0, 1, 0]


def test_a_matrix_has_the_images_to_build_with_bases_first() -> None:
    assert json.loads(render("matrix", ALL)) == {
        "include": [
            {"image": "base", "kind": "base", "platform": "linux/amd64", "wave": 0},
            {"image": "app", "kind": "lambda", "platform": "linux/arm64", "wave": 1},
        ]
    }
    assert render("matrix", ()) == '{"include": []}\n'


def test_outputs_of_a_step_are_one_line_each() -> None:
    lines = dict(line.split("=", 1) for line in render("github", ALL).splitlines())

    assert {name: json.loads(value) for name, value in lines.items() if name != "matrix"} == {
        "any": True,
        "images": ["base", "app"],
        "functions": ["app-dev", "app-two"],
        "folders": ["lib", "app"],
    }
    assert render("github", (GONE,)).startswith("any=false\n")


def test_paths_are_all_folders_once() -> None:
    assert render("paths", ALL) == "lib\napp\n"


def test_markdown_escapes_and_shortens() -> None:
    text = render("markdown", ALL)

    assert text.startswith("**3 images change**\n\n| image |")
    assert "| base | changed | a\\|b modified |  |\n" in text
    assert "1<br>2<br>3<br>and 1 more | app-dev<br>app-two |" in text
    assert render("markdown", ()) == "No image changes.\n"


def test_a_format_is_known_and_shares_standard_output_with_nothing() -> None:
    check_format("table", json=True)
    with pytest.raises(ConfigError, match="did you mean matrix"):
        check_format("matrx", json=False)
    with pytest.raises(ConfigError, match="both want standard output"):
        check_format("paths", json=True)
    check_format("github", json=False, shards=5)
    with pytest.raises(ConfigError, match="--format table has no shards"):
        check_format("table", json=True, shards=5)
    with pytest.raises(ConfigError, match="-1 is not a number of shards"):
        check_format("github", json=False, shards=-1)


def test_a_child_pipeline_has_a_job_for_each_image_after_its_bases() -> None:
    assert json.loads(render("gitlab", ALL)) == {
        "build base": {"extends": ".lamina", "needs": [], "script": ["lamina build base --push"]},
        "build app": {"extends": ".lamina", "needs": ["build base"], "script": ["lamina build app --push"]},
    }
    assert json.loads(render("gitlab", (GONE,))) == {"no image changes": {"script": ["true"]}}


def test_seconds_are_told_where_some_are_known() -> None:
    known = replace(BASE, seconds=12.4)

    assert "last builds took" not in render("markdown", ALL)
    head, _, row, other = render("markdown", (known, APP)).splitlines()[2:]
    assert head.endswith("| last builds took |")
    assert row.endswith("| 12 s |")
    assert other.endswith("|  |")
    assert affected_documents((known,))[0]["predicted_seconds"] == 12.4


BATCHES = (
    Batch(shard=BASES, images=("base",), seconds=0.4),
    Batch(shard="2/5", images=("app", "more"), seconds=30.66),
)


def test_a_matrix_of_batches_has_bases_first() -> None:
    entries = [
        {"shard": "bases", "images": "base", "seconds": 0.4, "wave": 0},
        {"shard": "2/5", "images": "app more", "seconds": 30.7, "wave": 1},
    ]
    assert json.loads(render("matrix", ALL, BATCHES)) == {"include": entries}
    assert f"matrix={json.dumps({'include': entries})}\n" in render("github", ALL, BATCHES)
    assert render("matrix", (GONE,), ()) == '{"include": []}\n'


def test_a_child_pipeline_of_batches_has_a_job_for_each() -> None:
    base = {"extends": ".lamina", "needs": [], "script": ["lamina build base --push"]}
    shard = {"extends": ".lamina", "needs": ["bases"], "script": ["lamina build app more --push"]}
    assert json.loads(render("gitlab", ALL, BATCHES)) == {"bases": base, "shard 2/5": shard}
    assert json.loads(render("gitlab", ALL, BATCHES[1:]))["shard 2/5"]["needs"] == []
    assert json.loads(render("gitlab", (GONE,), ())) == {"no image changes": {"script": ["true"]}}
