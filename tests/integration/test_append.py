"""Code changes without a builder, pushed or in the engine: the images are those that a builder makes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import TestEngine
from doubles.served import Served, log_in, stack_of
from projects import Repo
from test_layer_differential import timeless

from lamina.process import SubprocessRunner
from lamina.sandbox import running

pytestmark = pytest.mark.engine

BASE, LABEL, TINY = "base-dynamo", "base-label", "lambda-tiny"


@pytest.fixture
def pushed(tiny: Repo, served: Served, tmp_path: Path) -> Repo:
    """The tiny repository, pushed; its function has a stage of dependencies, and metadata."""
    tiny.env["LAMINA_REGISTRY"] = served.address
    tiny.env["DOCKER_CONFIG"] = log_in(tmp_path / "docker", served.address)
    tiny.write("lib/deps.txt", "deps\n")
    tiny.write(
        "dockerfiles/lambda-tiny/Dockerfile",
        "FROM scratch AS deps\nCOPY lib/deps.txt /rootfs/deps.txt\n"
        "FROM base-label:stable\nARG LEVEL=1\nENV LEVEL=${LEVEL}\nCOPY --link --from=deps /rootfs/ /\n"
        'COPY --link src/handler.py /var/task/\nLABEL team="a b"\nCMD ["handler.handler"]\n',
    )
    tiny.commit()
    tiny.ok("build-all", "--push")
    return tiny


def without_engine(repo: Repo, name: str, path: Path) -> Repo:
    """The repository on a machine without docker, git or an engine, and without state."""
    return repo.clone(path, LAMINA_ENGINE=name, PATH="", DOCKER_HOST="unix:///nowhere/docker.sock")


def image(
    served: Served, repo: Repo, name: str, tag: str
) -> tuple[dict[str, Any], dict[str, Any], list[bytes]]:
    """The manifest of an image in the registry, its configuration and its unpacked layers."""
    repository = f"{name}-{stack_of(repo)}"
    manifest, _, _ = served.manifest(f"{served.address}/{repository}:{tag}")
    config = json.loads(served.get(f"{repository}/blobs/{manifest['config']['digest']}")[0])
    layers = [
        gzip.decompress(served.get(f"{repository}/blobs/{each['digest']}")[0]) for each in manifest["layers"]
    ]
    return manifest, config, layers


def undated(config: dict[str, Any]) -> dict[str, Any]:
    history = [{**each, "created": None} for each in config["history"]]
    return {**config, "created": None, "history": history, "rootfs": None}


def test_appended_images_are_those_that_a_builder_makes(
    pushed: Repo, served: Served, empty_engine: str, tmp_path: Path
) -> None:
    other = without_engine(pushed, empty_engine, tmp_path / "other" / "clone")
    other.append("src/handler.py", "# edited\n")
    planned = other.ok("plan", "--json")
    assert [each.get("layers") for each in planned.json["images"]] == [None, None, 1]
    handler = other.ok("build-all", "--push", "--append", "only", "--json")
    assert handler.built == [TINY]
    other.append("src/dynamo.py", "# edited, and all that stands on it follows\n")
    dockerfile = f"dockerfiles/{TINY}/Dockerfile"
    text = (other.root / dockerfile).read_text()
    other.write(dockerfile, text.replace("LABEL team", "ENV LEVEL=2 MODE='' PATH=/x\nLABEL x=y team"))
    other.append(dockerfile, 'ENV LAST="two words"\n')
    done = other.ok("build-all", "--push", "--append", "only", "--json")
    assert done.built == [BASE, LABEL, TINY]
    assert all(each["appended"] for each in done.json["images"])
    assert other.ok("build-all", "--push", "--json").built == []
    assert running.status(SubprocessRunner(), empty_engine) is None
    other.ok("check")

    tags = done.images("tag")
    ours = {name: image(served, pushed, name, tag) for name, tag in tags.items()}
    for path in ("src/handler.py", "src/dynamo.py", dockerfile):
        pushed.write(path, (other.root / path).read_text())
    assert pushed.ok("build-all", "--push", "--force", "--append", "auto", "--json").built == [*tags]
    for name, (manifest, config, layers) in ours.items():
        theirs, their_config, their_layers = image(served, pushed, name, tags[name])
        assert undated(config) == undated(their_config)
        assert [timeless(each) for each in layers] == [timeless(each) for each in their_layers]
        kept = {"dev.lamina.appended-to", "org.opencontainers.image.revision"}
        assert {key: value for key, value in manifest["annotations"].items() if key not in kept} == {
            key: value for key, value in theirs["annotations"].items() if key not in kept
        }
        assert {each["mediaType"] for each in manifest["layers"]} == {
            each["mediaType"] for each in theirs["layers"]
        }
        assert {**theirs, "layers": 0, "config": 0, "annotations": 0} == {
            **manifest,
            "layers": 0,
            "config": 0,
            "annotations": 0,
        }


def test_an_image_that_needs_a_builder_says_why(pushed: Repo) -> None:
    pushed.append("lib/deps.txt", "more\n")
    only = pushed.fails(4, "build-all", "--push", "--append", "only", "--json")
    assert (
        "lambda-tiny needs a builder: no image in the registry differs from it in its code alone" in only.text
    )
    here = pushed.fails(4, "build-all", "--append", "only")
    assert (
        "lambda-tiny needs a builder: no image in the engine differs from it in its code alone" in here.text
    )
    done = pushed.ok("build-all", "--push", "--json")
    assert done.built == [TINY]
    assert "appended" not in done.json["images"][-1]

    pushed.append("src/handler.py", "# edited\n")
    forced = pushed.fails(4, "build-all", "--push", "--append", "only", "--force")
    assert "lambda-tiny needs a builder: --force" in forced.text
    assert pushed.ok("build-all", "--push", "--append", "only", "--json").built == [TINY]


def test_appended_images_are_confirmed_by_an_audit(pushed: Repo) -> None:
    pushed.append("src/dynamo.py", "# edited\n")
    assert len(pushed.ok("build-all", "--push", "--append", "only", "--json").built) == 3

    audited = pushed.ok("audit", "--json").json["images"]
    assert {each["verdict"] for each in audited} == {"confirmed"}


def test_one_that_differs_switches_appending_off(pushed: Repo, served: Served) -> None:
    repository = f"{TINY}-{stack_of(pushed)}"
    (before,) = (each for each in pushed.manifest["images"] if each["image"] == TINY)
    pushed.append("src/handler.py", "# edited\n")
    after = pushed.ok("build-all", "--push", "--append", "only", "--json").images("tag")[TINY]
    manifest, media_type, _ = served.manifest(f"{served.address}/{repository}:{after}")
    other, _, _ = served.manifest(before["ref"].partition("@")[0])
    served.put(repository, after, media_type, {**other, "annotations": manifest["annotations"]})

    audited = pushed.fails(1, "audit", "--image", TINY)
    assert "code changes go through the builder on this machine from now on" in audited.text
    pushed.append("src/handler.py", "# again\n")
    only = pushed.fails(4, "build-all", "--push", "--append", "only")
    assert "switched off: an audit found lambda-tiny to differ" in only.text
    assert "appended" not in pushed.ok("build-all", "--push", "--json").json["images"][-1]


def test_code_changes_in_the_engines_own_store(tiny: Repo, engine: TestEngine) -> None:
    first = tiny.ok("build-all", "--json")
    tiny.append("src/handler.py", "# edited\n")
    assert [each.get("layers") for each in tiny.ok("plan", "--json").json["images"]] == [None, None, 1]
    assert tiny.ok("build-all", "--append", "only", "--json").built == [TINY]
    tiny.append("src/dynamo.py", "# edited, and all that stands on it follows\n")
    done = tiny.ok("build-all", "--append", "only", "--json")
    assert done.built == [BASE, LABEL, TINY]
    assert all(each["appended"] for each in done.json["images"])
    for ref in first.images("ref").values():  # layers of images that are gone stay with those that have them
        engine.call("rmi", ref.partition("@")[0])

    audited = tiny.ok("audit", "--json").json["images"]
    assert {each["verdict"] for each in audited} == {"confirmed"}

    engine.call("rmi", done.images("ref")[TINY].partition("@")[0])
    tiny.append("src/handler.py", "# again\n")
    assert "no image in the engine" in tiny.fails(4, "build-all", "--append", "only").text
    assert tiny.ok("build-all", "--json").built == [TINY]
