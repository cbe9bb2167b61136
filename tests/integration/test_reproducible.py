"""`--reproducible` and `verify`: two cold engines give the same digests; differences are reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import TestEngine
from projects import Repo

from lamina.files import cache_home

pytestmark = [pytest.mark.engine, pytest.mark.nightly]

TINY, MADE = "lambda-tiny", "lambda-made"
RUNTIME = "public.ecr.aws/lambda/python:3.13"
NOTE = "RUN mkdir /var/task/lib && echo made > /var/task/lib/note && ln -s note /var/task/lib/link"


def write_made(repo: Repo, *runs: str) -> None:
    """A function on the runtime that runs something."""
    lines = (f"FROM {RUNTIME}", *runs, "COPY src/handler.py /var/task/", 'CMD ["handler.handler"]')
    repo.write(f"dockerfiles/{MADE}/Dockerfile", "\n".join(lines) + "\n")
    repo.write("src/handler.py", "def handler(event, context):\n    return event\n")


def same(document: dict[str, Any]) -> dict[str, bool]:
    """Manifest, configuration, each layer by number -> whether it is the same in both."""
    return {
        each["what"].partition(",")[0]: each["recorded"] == each["rebuilt"] for each in document["digests"]
    }


def verify_engines() -> list[Path]:
    return list((cache_home() / "engines").glob("verify-*"))


def test_two_cold_engines_give_the_same_digests(tiny: Repo, engine: TestEngine) -> None:
    tiny.commit()
    built = tiny.ok("build-all", "--reproducible", "--json")
    before = engine.names(), tiny.manifest
    tiny.append(".gitignore", "# another commit, which the manifest of a rebuilt image must not name\n")
    tiny.git("commit", "--quiet", "--all", "--message", "Other")
    (image,) = tiny.ok("verify", TINY, "--json").json["images"]

    assert image["identical"] is True
    assert image["digest"] == built.images("digest")[TINY]
    assert same(image) == dict.fromkeys(("manifest", "configuration", "layer 1", "layer 2", "layer 3"), True)
    assert (engine.names(), tiny.manifest) == before
    assert verify_engines() == []
    assert set(tiny.ok("build-all", "--json").images().values()) == {"skipped"}  # the same images to the plan


def test_run_steps_get_the_fixed_time(tiny: Repo) -> None:
    write_made(tiny, NOTE)
    tiny.ok("build-all", "--reproducible", "--image", MADE)
    text = tiny.ok("verify", MADE).stdout

    assert "STAND-IN RUNTIME" in text
    assert f"Dockerfile:2 {NOTE}" in text
    assert text.count("the same") == 5  # manifest, configuration, runtime, RUN and COPY


def test_an_image_with_other_timestamps_differs(tiny: Repo) -> None:
    tiny.ok("build-all")
    done = tiny.fails(1, "verify", TINY, "--json")
    (image,) = done.json["images"]

    assert (done.json["ok"], image["identical"]) == (False, False)
    assert set(same(image).values()) == {False}
    assert image["reasons"] == ["the same files; timestamps differ in 3 of 3 layers"]
    assert "lambda-tiny differs when built again" in done.told
    assert "was it built with --reproducible?" in done.told
    assert verify_engines() == []


def test_files_that_differ_are_named(tiny: Repo) -> None:
    write_made(tiny, "RUN date +%N > /var/task/stamp")
    tiny.ok("build-all", "--reproducible", "--image", MADE)
    done = tiny.fails(1, "verify", MADE, "--json")
    (image,) = done.json["images"]

    assert same(image) == {
        "manifest": False, "configuration": False, "layer 1": True, "layer 2": False, "layer 3": True
    }  # fmt: skip
    assert [each["files"] for each in image["layers"]] == [["var/task/stamp differs"]]
    assert "var/task/stamp differs" in done.told


def test_a_missing_image_cannot_be_verified(tiny: Repo) -> None:
    assert "there is nothing to verify" in tiny.fails(1, "verify", TINY).text
    assert "there is no image 'nosuch'" in tiny.fails(3, "verify", "nosuch").text
