"""`audit`: right skips are confirmed, in the engine and in a registry; a false skip is found."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from conftest import TestEngine
from projects import Repo

pytestmark = pytest.mark.engine

ALL = {"base-dynamo", "base-label", "lambda-tiny"}
TINY = "lambda-tiny"
COPIED = "Dockerfile:2 COPY --link src/handler.py /var/task/"


def verdicts(repo: Repo, *words: str) -> dict[str, str]:
    return repo.ok("audit", "--json", *words).images("verdict")


def false_skip(repo: Repo, *words: str) -> tuple[dict[str, Any], str]:
    """The one false skip that an audit finds, and the messages about it."""
    done = repo.fails(1, "audit", "--json", *words)
    (found,) = [each for each in done.json["images"] if each["verdict"] == "false skip"]
    assert done.json["ok"] is False
    return found, done.told


def untagged(engine: TestEngine) -> set[str]:
    """Images without a name: those of earlier tests, whose tags others took."""
    return set(engine.call("image", "ls", "--quiet", "--filter", "dangling=true").split())


def refs(repo: Repo) -> dict[str, str]:
    return repo.ok("plan", "--json").images("ref")


def altered(repo: Repo, folder: str) -> Repo:
    """The same repository with another line in the handler, built as well."""
    other = repo.clone(repo.root.parent / folder)
    other.append("src/handler.py", "EXTRA = 1\n")
    return other


def test_a_fresh_build_is_confirmed_and_stays_unchanged(tiny: Repo, engine: TestEngine) -> None:
    tiny.ok("build-all")
    before = engine.names(), untagged(engine), tiny.manifest
    done = tiny.ok("audit", "--json")

    assert done.images("verdict") == dict.fromkeys(ALL, "confirmed")
    assert {(each["cached"], each["total"]) for each in done.json["images"]} == {(1, 1)}
    assert (engine.names(), untagged(engine), tiny.manifest) == before
    assert list(tiny.root.glob(".lamina/runs/*/*.tar")) == []


def test_another_image_under_the_tag_is_rebuilt(tiny: Repo, engine: TestEngine) -> None:
    tiny.ok("build-all")
    other = altered(tiny, "other")
    other.ok("build-all")
    engine.call("tag", refs(other)[TINY], refs(tiny)[TINY])
    assert tiny.ok("plan", "--json").images() == {**dict.fromkeys(ALL, "skip"), TINY: "build"}
    assert "exists in the engine but was built from different inputs" in tiny.ok("plan").stdout

    assert tiny.ok("build-all", "--json").built == [TINY]
    assert verdicts(tiny) == dict.fromkeys(ALL, "confirmed")


def test_another_image_that_claims_to_be_this_one_is_found(tiny: Repo, engine: TestEngine) -> None:
    built = {each["name"]: each for each in tiny.ok("build-all", "--json").json["images"]}
    other = altered(tiny, "other")
    other.ok("build-all")
    (claim := tiny.root / "claim").mkdir()
    (claim / "Dockerfile").write_text(f"FROM {refs(other)[TINY].partition('@')[0]}\n")
    label = f"--label=dev.lamina.fingerprint={built[TINY]['fingerprint']}"
    build(tiny, engine, claim, f"type=image,name={built[TINY]['ref'].partition('@')[0]}", label)
    assert tiny.ok("plan", "--json").images() == dict.fromkeys(ALL, "skip")
    found, told = false_skip(tiny)

    assert found["name"] == TINY
    (layer,) = found["layers"]
    assert (layer["number"], layer["files"], layer["proves"]) == (3, ["var/task/handler.py differs"], True)
    assert layer["instruction"].endswith(COPIED)
    assert layer["built"] != layer["found"]
    assert f"{COPIED}: built {layer['built'][:19]}, found {layer['found'][:19]}" in told
    assert "next: python -m lamina build-all --image lambda-tiny --force" in told

    tiny.ok("build-all", "--image", TINY, "--force")
    assert verdicts(tiny) == dict.fromkeys(ALL, "confirmed")


def forge(repo: Repo, engine: TestEngine, image: dict[str, Any], output: str) -> None:
    """Push other files under the same fingerprint and tag, as a hash that misses a change would."""
    file = repo.write("forged/src/dynamo.py", "TABLE = 'forged'\n")
    shutil.copy(repo.root / "dockerfiles/base-dynamo/Dockerfile", file.parents[1])
    build(repo, engine, file.parents[1], output, f"--label=dev.lamina.fingerprint={image['fingerprint']}")


def build(repo: Repo, engine: TestEngine, folder: Path, output: str, *words: str) -> None:
    """Build a folder with BuildKit alone."""
    subprocess.run(
        [*engine.buildx, "build", *words, "--provenance=false", f"--output={output}", str(folder)],
        cwd=repo.root,
        env={**os.environ, **engine.environment},
        capture_output=True,
        check=True,
    )


@pytest.mark.parametrize("where", ["engine", pytest.param("registry", marks=pytest.mark.nightly)])
def test_an_image_with_unhashed_changes_is_found(
    tiny: Repo, engine: TestEngine, registry: str, where: str
) -> None:
    pushed = where == "registry"
    if pushed:
        tiny.env["LAMINA_REGISTRY"] = registry
    built = {
        each["name"]: each for each in tiny.ok("build-all", "--json", *["--push"] * pushed).json["images"]
    }
    base = built["base-dynamo"]
    forge(tiny, engine, base, f"type=image,name={base['ref'].partition('@')[0]},push={str(pushed).lower()}")
    assert set(tiny.ok("plan", "--json").images().values()) == {"skip"}
    found, told = false_skip(tiny)

    assert found["name"] == "base-dynamo"
    assert [each["files"] for each in found["layers"]] == [["var/task/dynamo.py differs"]]
    assert "layer 1, dockerfiles/base-dynamo/Dockerfile:2 COPY --link src/dynamo.py /var/task/" in told
    above = tiny.fails(1, "audit", "--json").images("reasons")["base-label"]
    assert above == ["it is built FROM another build of base-dynamo than the current one"]


def test_in_a_registry_nothing_is_pushed_or_tagged(tiny: Repo, engine: TestEngine, registry: str) -> None:
    tiny.env["LAMINA_REGISTRY"] = registry
    tiny.ok("build-all", "--push")
    digests = {each["ref"] for each in tiny.ok("audit", "--json").json["images"]}
    before = engine.names(), tiny.manifest, catalog(registry)

    assert verdicts(tiny) == dict.fromkeys(ALL, "confirmed")
    assert (engine.names(), tiny.manifest, catalog(registry)) == before
    assert all(ref.startswith(f"{registry}/") for ref in digests)


def catalog(registry: str) -> dict[str, str]:
    """Repository -> its tags, as the registry lists them."""

    def get(path: str) -> Any:
        with urllib.request.urlopen(f"http://{registry}/v2/{path}", timeout=10) as answer:
            return json.load(answer)

    return {name: get(f"{name}/tags/list")["tags"] for name in get("_catalog")["repositories"]}


def test_a_sample_can_be_chosen_again(tiny: Repo) -> None:
    tiny.ok("build-all")
    done = tiny.ok("audit", "--json", "--sample", "1")
    seed = done.json["seed"]

    assert len(done.images("verdict")) == 1
    assert done.json["skipped"] == 3
    (name,) = done.images("verdict")
    again = tiny.ok("audit", "--sample", "1", "--seed", str(seed)).stdout
    assert f"sample of 3 chosen by --seed {seed}" in again
    assert [each for each in ALL if each in again] == [name]
    assert verdicts(tiny, "--sample", "1", "--seed", "1") != verdicts(tiny, "--sample", "1", "--seed", "5")
    assert set(verdicts(tiny, "--sample", "9")) == ALL
    tiny.fails(3, "audit", "--sample", "-1")


def test_images_to_build_are_not_audited(tiny: Repo) -> None:
    assert verdicts(tiny) == {}
    tiny.ok("build-all")
    tiny.append("src/handler.py", "EXTRA = 1\n")

    assert set(verdicts(tiny)) == ALL - {TINY}
    assert set(verdicts(tiny, "--image", "base-label")) == {"base-label"}


@pytest.mark.nightly
def test_an_audit_on_an_empty_engine_compares_files(tiny: Repo, registry: str, empty_engine: str) -> None:
    """A RUN gives other files each time, which proves nothing; of copied files only the times differ."""
    tiny.env["LAMINA_REGISTRY"] = registry
    tiny.write(
        "dockerfiles/lambda-stamped/Dockerfile",
        "FROM public.ecr.aws/lambda/python:3.13\nRUN date +%N > /var/task/stamp\n"
        'COPY --link src/handler.py /var/task/\nCMD ["handler.handler"]\n',
    )
    for name in ("dynamo", "label", "handler"):  # or an older record in the cache may be taken
        tiny.append(f"src/{name}.py", f"NEVER_BUILT_BEFORE = {secrets.token_hex(8)!r}\n")
    tiny.ok("build-all", "--push")
    assert verdicts(tiny) == dict.fromkeys(ALL | {"lambda-stamped"}, "confirmed")
    alone = {"LAMINA_ENGINE": empty_engine, "LAMINA_CACHE_MODE": "off"}
    done = tiny.ok("audit", "--json", env=alone)

    assert done.images("verdict") == {**dict.fromkeys(ALL, "confirmed"), "lambda-stamped": "not comparable"}
    assert done.images("reasons")[TINY] == ["the same files; timestamps differ in 1 of 3 layers"]
    assert done.images("ran")["base-label"] == ["[1/2] COPY --link src/label.py /var/task/"]
    (reason,) = done.images("reasons")["lambda-stamped"]
    assert "Dockerfile:2 RUN date +%N > /var/task/stamp: built " in reason
    assert reason.endswith("var/task/stamp differs; RUN need not give the same files each time")
