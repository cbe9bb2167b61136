"""A tag with the right name does not prove an image: its fingerprint and its blobs are checked."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from pathlib import Path

import pytest
from conftest import TestEngine
from doubles.served import Served, log_in, stack_of
from projects import Repo

pytestmark = pytest.mark.engine


@pytest.fixture
def pushing(tiny: Repo, served: Served, tmp_path: Path) -> Repo:
    """The tiny repository, with a registry and credentials for it."""
    tiny.env["LAMINA_REGISTRY"] = served.address
    tiny.env["DOCKER_CONFIG"] = log_in(tmp_path / "with-password", served.address)
    return tiny


@pytest.mark.parametrize("push", [True, False])
def test_a_promoted_base_is_used_in_the_same_run(pushing: Repo, push: bool) -> None:
    words = ("build-all", "--json", *(["--push"] if push else []))
    if not push:
        pushing.env["LAMINA_REGISTRY"] = "local"
    first = pushing.ok(*words)
    pushing.append("src/label.py", "# edited\n")

    promoted = pushing.ok(*words, "--stack", f"{stack_of(pushing)}-prod")

    assert promoted.images() == {"base-dynamo": "retagged", "base-label": "built", "lambda-tiny": "built"}
    assert promoted.images("digest")["base-dynamo"] == first.images("digest")["base-dynamo"]


def test_a_local_build_does_not_retag_images_of_the_registry(pushing: Repo) -> None:
    pushing.ok("build-all", "--push", "--json")

    local = pushing.ok("build-all", "--json", "--stack", f"{stack_of(pushing)}-prod")

    assert set(local.images().values()) == {"built"}


def test_a_staged_context_is_verified_each_time_it_is_sent(pushing: Repo, served: Served) -> None:
    pushing.ok("build-all", "--json", env={"LAMINA_REGISTRY": "local"})
    for file in (pushing.root / ".lamina/context").rglob("*.py"):
        told = file.stat()
        file.write_bytes(bytes(each ^ 1 for each in file.read_bytes()))
        os.utime(file, ns=(told.st_atime_ns, told.st_mtime_ns))

    pushed = pushing.ok("build-all", "--push", "--json")

    assert len(pushed.built) == 3
    files = files_of(served, pushed.images("ref")["lambda-tiny"])
    for name in ("dynamo", "label", "handler"):
        assert files[f"var/task/{name}.py"] == (pushing.root / f"src/{name}.py").read_bytes()


def test_a_tag_without_a_fingerprint_is_rebuilt(tiny: Repo, engine: TestEngine, tmp_path: Path) -> None:
    ref = tiny.ok("build-all", "--json").images("ref")["lambda-tiny"].partition("@")[0]
    with tarfile.open(tmp_path / "layer.tar", "w") as tar:
        tar.add(tiny.root / "src", "src")
    engine.call("import", str(tmp_path / "layer.tar"), ref)

    done = tiny.ok("build-all", "--json")

    assert done.built == ["lambda-tiny"]
    assert done.images("reasons")["lambda-tiny"][0].endswith("no fingerprint: Lamina did not build it")
    assert tiny.ok("build-all", "--json").built == []


def lose(served: Served, repo: Repo, name: str, part: str) -> str:
    """Take a blob of an image out of the registry: its configuration, or its own layer."""
    ref = next(each["ref"] for each in repo.manifest["images"] if each["image"] == name)
    manifest, _, _ = served.manifest(ref)
    digest: str = (manifest["config"] if part == "config" else manifest["layers"][-1])["digest"]
    assert served.storage is not None
    hexes = digest.removeprefix("sha256:")
    shutil.rmtree(served.storage / f"docker/registry/v2/blobs/sha256/{hexes[:2]}/{hexes}")
    return digest[:19]


def test_an_image_with_lost_blobs_is_missing(pushing: Repo, served: Served) -> None:
    for name in ("label", "handler"):  # no other test has these layers
        pushing.append(f"src/{name}.py", f"# {stack_of(pushing)}\n")
    pushing.ok("build-all", "--push")

    config = lose(served, pushing, "lambda-tiny", "config")
    assert f"has lost its configuration {config}" in pushing.fails(1, "check").text
    again = pushing.ok("build-all", "--push", "--json")
    assert again.built == ["lambda-tiny"]
    assert again.images("reasons")["lambda-tiny"][0].endswith(f"has lost its configuration {config}")
    pushing.ok("check")

    layer = lose(served, pushing, "base-label", "layer")
    assert f"has lost its layer {layer}" in pushing.fails(1, "check").text
    assert f"has lost its layer {layer}" in pushing.fails(1, "audit", "--image", "base-label").text
    pushing.append("src/handler.py", "# edited\n")
    edited = pushing.ok("build-all", "--push", "--json")
    assert edited.built == ["base-label", "lambda-tiny"]
    assert edited.images("reasons")["base-label"][0].endswith(f"has lost its layer {layer}")
    pushing.ok("check")


def files_of(served: Served, ref: str) -> dict[str, bytes]:
    """The files of an image in the registry."""
    found: dict[str, bytes] = {}
    manifest, _, _ = served.manifest(ref)
    repository = ref.partition("/")[2].partition(":")[0]
    for layer in manifest["layers"]:
        body, _ = served.get(f"{repository}/blobs/{layer['digest']}")
        with tarfile.open(fileobj=io.BytesIO(body)) as tar:
            found |= {each.name: read.read() for each in tar if (read := tar.extractfile(each)) is not None}
    return found
