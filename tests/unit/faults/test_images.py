from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from projects import Repo

from faults.edits import edit_once
from faults.images import FINGERPRINT, BrokenError, read_image
from faults.project import IMAGES, Oracle, Snapshot, fingerprints, write_project


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Image:
    """An image whose only layer holds these files."""

    def __init__(self, tree: Snapshot, fingerprint: str) -> None:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for path, (executable, content) in tree.files.items():
                member = tarfile.TarInfo(f"var/task/{path}")
                member.size, member.mode = len(content), 0o755 if executable else 0o644
                tar.addfile(member, io.BytesIO(content))
        self.layer = gzip.compress(buffer.getvalue())
        labels = {FINGERPRINT: fingerprint, "edition": tree.edition}
        config = {"config": {"Labels": labels}, "rootfs": {"diff_ids": [digest(buffer.getvalue())]}}
        self.config = json.dumps(config).encode()
        self.blobs = {digest(each): each for each in (self.layer, self.config)}

    @property
    def manifest(self) -> bytes:
        layers = [{"digest": digest(self.layer)}]
        return json.dumps({"config": {"digest": digest(self.config)}, "layers": layers}).encode()

    def blob(self, name: str) -> bytes:
        if name not in self.blobs:
            raise BrokenError(f"{name} is gone")
        return self.blobs[name]


def snapshot(root: Path) -> Snapshot:
    """The tree of a project, as an image would hold it."""
    files = {
        path.relative_to(root / "src").as_posix(): (bool(path.stat().st_mode & 0o100), path.read_bytes())
        for path in (root / "src").rglob("*")
        if path.is_file()
    }
    text = (root / "dockerfiles/lambda-tiny/Dockerfile").read_text()
    return Snapshot(files=files, edition=text.partition('edition="')[2].partition('"')[0])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_project(Repo(tmp_path), Random(7))
    return tmp_path


def test_a_tree_is_known_by_the_files_of_its_image(root: Path) -> None:
    oracle = Oracle()
    for seed in range(12):
        edit_once(root, Random(seed))
        tree, carried = read_image((image := Image(snapshot(root), "sha256:1")).manifest, image.blob)
        assert carried == "sha256:1"
        assert oracle.fingerprints(tree) == fingerprints(root)


def test_every_edit_moves_a_fingerprint(root: Path) -> None:
    seen = [fingerprints(root)]
    for seed in range(12):
        edit_once(root, Random(seed))
        seen.append(fingerprints(root))
    assert all(before != after for before, after in pairwise(seen))
    assert set(seen[0]) == set(IMAGES)


class TestBroken:
    @pytest.fixture
    def image(self, root: Path) -> Image:
        return Image(snapshot(root), "sha256:1")

    @pytest.mark.parametrize("part", ["layer", "config"])
    def test_a_blob_is_gone(self, image: Image, part: str) -> None:
        del image.blobs[digest(getattr(image, part))]
        with pytest.raises(BrokenError, match="is gone"):
            read_image(image.manifest, image.blob)

    @pytest.mark.parametrize("part", ["layer", "config"])
    def test_a_blob_has_another_content(self, image: Image, part: str) -> None:
        image.blobs[digest(getattr(image, part))] += b"\0"
        with pytest.raises(BrokenError, match="has the content of"):
            read_image(image.manifest, image.blob)

    def test_a_layer_is_not_what_the_configuration_says(self, image: Image) -> None:
        image.config = image.config.replace(b"sha256:", b"sha256:0", 2)
        image.blobs[digest(image.config)] = image.config
        with pytest.raises(BrokenError, match="is not sha256:0"):
            read_image(image.manifest, image.blob)

    def test_a_document_that_is_not_an_image(self, image: Image) -> None:
        with pytest.raises(BrokenError, match="not an image's"):
            read_image(b"<html>", image.blob)
