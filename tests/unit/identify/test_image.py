from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from lamina.declare.graph import read_graph
from lamina.errors import ConfigError
from lamina.identify.image import identify
from lamina.identify.tree import DiskFiles, TreeEntry
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


class Counted(DiskFiles):
    """A tree that notes which folders are listed."""

    def __init__(self, root: Path, listed: list[str]) -> None:
        super().__init__(root)
        self._listed = listed

    def children(self, directory: str) -> Iterable[TreeEntry]:
        self._listed.append(directory)
        return super().children(directory)


def test_a_folder_is_walked_once_for_images_with_the_same_rules(repo: Repo) -> None:
    for name in ("a", "b", "c"):
        repo.image(name, "FROM scratch", "COPY src /src")
    for path in ("src/one.py", "src/deep/two.py"):
        repo.write(path)
    listed: list[str] = []
    tree = Counted(repo.root, listed)
    project = repo.project()

    identify(project, read_graph(project), ["a", "b", "c"], prefix="", bases={}, files=lambda _: tree)

    assert listed == ["src", "src/deep"]


def test_a_walk_that_images_share_changes_none_of_them(repo: Repo) -> None:
    """Each differs in what decides which files it takes: another one found them first."""
    for path in ("src/a.py", "src/b.md", "src/.venv/x.py", "src/deep/c.py", "src/caf\udce9.py"):
        repo.write(path)
    repo.write(".dockerignore", "**/*.md\n")
    repo.image("plain", "FROM scratch", "COPY src /src")
    repo.image("named", "FROM scratch", "COPY src /src", "COPY src/.venv /env")
    repo.image("less", "FROM scratch", "COPY --exclude=deep src /src")
    repo.image("own", "FROM scratch", "COPY src /src")
    repo.write("dockerfiles/own/Dockerfile.dockerignore", "**/a.py\n")
    repo.image("whole", "FROM scratch", "COPY . /src")

    together = repo.images()

    assert {name: image.inputs for name, image in together.items()} == {
        name: repo.images(name)[name].inputs for name in together
    }
    assert len({image.fingerprint for image in together.values()}) == 5
