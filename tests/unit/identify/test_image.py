from __future__ import annotations

import pytest

from lamina.declare.graph import read_graph
from lamina.errors import ConfigError
from lamina.identify.image import identify
from lamina.refs import Reference

from ..conftest import DIGEST, RUNTIME, Repo

D, L, E, W = "base-receipt-dynamo", "base-receipt-label", "lambda-embedding", "lambda-word-label"


def test_ancestors_come_along_bases_first(receipts: Repo) -> None:
    assert list(receipts.images(E)) == [D, L, E]


def test_the_reference_is_prefix_stack_and_content(receipts: Repo) -> None:
    receipts.flags["stack"] = "prod"
    project = receipts.project()
    images, _ = identify(
        project,
        read_graph(project),
        [W],
        prefix="localhost:5000/team/",
        bases={W: receipts.bases, D: receipts.bases},
    )

    image = images[W]

    assert image.ref == Reference(
        host="localhost:5000", repository=f"team/{W}-prod", tag=image.tag, digest=None
    )
    assert image.fingerprint == receipts.images(W)[W].fingerprint


def test_the_inputs_names_parents_and_bases(receipts: Repo) -> None:
    images = receipts.images()

    assert images[D].inputs.bases == {RUNTIME: DIGEST}
    assert images[D].inputs.parents == {}
    assert images[L].inputs.bases == {}
    assert images[L].inputs.parents == {D: images[D].fingerprint}


def test_an_image_from_outside_without_a_digest_counts_as_unlocked(receipts: Repo) -> None:
    receipts.bases.clear()

    assert receipts.images()[D].inputs.bases == {RUNTIME: "unlocked"}


def test_in_static_mode_bases_are_neither_read_nor_hashed(receipts: Repo) -> None:
    receipts.remove("receipt_dynamo/receipt_dynamo")

    images = receipts.images(E, W, stable={D: "sha256:d"})

    assert list(images) == [W, E]
    assert images[W].inputs.parents == {D: "sha256:d"}
    assert images[E].inputs.parents == {L: "stable"}


@pytest.mark.parametrize("path", ["dockerfiles/app/Dockerfile.dockerignore", ".dockerignore"])
def test_an_ignore_file_that_cannot_be_read_is_reported(app: Repo, path: str) -> None:
    app.folder(path)

    with pytest.raises(ConfigError, match=f"^{path}: cannot be read: Is a directory"):
        app.images()


def test_a_build_needs_no_git_no_lock_and_no_state(app: Repo) -> None:
    before = app.fingerprints()
    app.write(".git/HEAD", "ref: refs/heads/main\n")
    app.write("lamina.lock", "schema = 1\n")
    app.write(".lamina/manifest.json", "{}")

    assert app.fingerprints() == before
