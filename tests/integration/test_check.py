"""`check`: whether Lambda would accept images of a real registry, our own and foreign ones."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from doubles.served import INDEXES, MANIFEST, Served, log_in, stack_of
from projects import Repo

pytestmark = pytest.mark.engine


@pytest.fixture
def pushed(tiny: Repo, served: Served, tmp_path: Any) -> Repo:
    """The tiny repository, pushed to a registry with a password."""
    tiny.env["LAMINA_REGISTRY"] = served.address
    tiny.env["DOCKER_CONFIG"] = log_in(tmp_path / "login", served.address)
    tiny.ok("build-all", "--push")
    return tiny


def test_pushed_images_are_accepted_with_their_size(pushed: Repo, served: Served) -> None:
    (image,) = pushed.ok("check", "--json").json["images"]

    manifest, _, digest = served.manifest(image["ref"])
    blobs = f"lambda-tiny-{stack_of(pushed)}/blobs"
    layers = [gzip.decompress(served.get(f"{blobs}/{each['digest']}")[0]) for each in manifest["layers"]]
    assert (image["name"], image["taken"], image["refusals"]) == ("lambda-tiny", True, [])
    assert (image["digest"], image["layers"]) == (digest, len(layers))
    assert image["unpacked"] == sum(map(len, layers))
    assert "taken" in pushed.ok("check").stdout


def test_images_that_differ_from_the_worktree_are_reported(pushed: Repo) -> None:
    pushed.append("src/handler.py", "# edited\n")

    done = pushed.fails(1, "check", "--json")

    assert f"lambda-tiny-{stack_of(pushed)}:sha-" in done.told
    assert "next: python -m lamina build-all --push --image lambda-tiny" in done.told


def test_foreign_images_are_refused_with_every_reason(pushed: Repo, served: Served) -> None:
    repository = f"lambda-tiny-{stack_of(pushed)}"
    (image,) = pushed.ok("check", "--json").json["images"]
    manifest, _, digest = served.manifest(image["ref"])
    zstd = [{**each, "mediaType": each["mediaType"].replace("gzip", "zstd")} for each in manifest["layers"]]
    served.put(repository, "zstd", MANIFEST, {**manifest, "layers": zstd[:-1]})
    index = INDEXES.partition(",")[0]
    described = {"mediaType": MANIFEST, "digest": digest, "size": len(json.dumps(manifest))}
    listed = {**described, "platform": {"os": "linux", "architecture": "arm64"}}
    served.put(repository, "index", index, {"schemaVersion": 2, "mediaType": index, "manifests": [listed]})

    refs = [f"{served.address}/{repository}:{tag}" for tag in ("zstd", "index")]
    done = pushed.fails(
        1, "check", "--json", "--platform", "linux/riscv64", "--ref", refs[0], "--ref", refs[1]
    )

    of_zstd, of_index = done.json["images"]
    reasons = "\n".join(of_zstd["refusals"])
    assert "layer 1 is application/vnd.oci.image.layer.v1.tar+zstd, not " in reasons
    assert "its layers and its history do not match: 2 in the manifest, 3 in the configuration" in reasons
    assert ", not for linux/riscv64" in reasons
    (reason,) = of_index["refusals"]
    assert reason.startswith("it is an index")
    assert f"linux/arm64 {digest}" in reason


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--registry", "local"), 5, "no registry is configured: Lambda cannot pull from a Docker engine"),
        (("--ref", "No Such:thing"), 2, "--ref: 'No Such:thing'"),
        (("--image", "nothing"), 3, "nothing"),
    ],
)
def test_impossible_checks_are_refused(tiny: Repo, words: tuple[str, ...], code: int, told: str) -> None:
    assert told in tiny.fails(code, "check", *words).text
