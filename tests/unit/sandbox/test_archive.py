"""The bytes of an image archive depend on the files alone."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

from lamina.sandbox.archive import ImageConfig, write_archive

REF = "stand-in.lamina.invalid/python:3.13-abc"
CONFIG = ImageConfig(
    architecture="amd64",
    environment={"PATH": "/usr/bin", "LANG": "C.UTF-8"},
    entrypoint=("/run-me",),
    workdir="/var/task",
    labels={"dev.lamina.stand-in": "sha256:1"},
)


def make_root(root: Path, *, order: int, time: float) -> Path:
    for name in sorted(["b", "a", "dev", "tmp"], reverse=order < 0):
        (root / name).mkdir(parents=True)
    (root / "dev/null").write_text("left behind by the tools")
    for name in sorted(["a/one", "b/two"], reverse=order < 0):
        (root / name).write_text(name)
    (root / "a/link").symlink_to("one")
    os.link(root / "a/one", root / "a/twin")
    os.mkfifo(root / "a/pipe")
    for path in root.rglob("*"):
        os.utime(path, (time, time), follow_symlinks=False)
    return root


def read(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as tar:
        member = tar.extractfile(name)
        assert member is not None
        return member.read()


def blob(archive: Path, digest: str) -> bytes:
    content = read(archive, f"blobs/{digest.replace(':', '/')}")
    assert digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    return content


def test_order_and_times_of_files_do_not_matter(tmp_path: Path) -> None:
    one = make_root(tmp_path / "1", order=1, time=1e9)
    two = make_root(tmp_path / "2", order=-1, time=1.5e9)
    digests = [
        write_archive(root, tmp_path / f"{root.name}.tar", config=CONFIG, ref=REF) for root in (one, two)
    ]
    assert digests[0] == digests[1]
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()
    assert not list(tmp_path.glob("*.layer"))


def test_the_archive_holds_one_oci_manifest(tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    digest = write_archive(make_root(tmp_path / "r", order=1, time=1e9), archive, config=CONFIG, ref=REF)
    index = json.loads(read(archive, "index.json"))
    (entry,) = index["manifests"]
    assert (entry["digest"], entry["mediaType"]) == (digest, "application/vnd.oci.image.manifest.v1+json")
    assert entry["annotations"]["io.containerd.image.name"] == REF
    manifest = json.loads(blob(archive, digest))
    config = json.loads(blob(archive, manifest["config"]["digest"]))
    assert config["config"]["Labels"] == {"dev.lamina.stand-in": "sha256:1"}
    assert config["config"]["Env"] == ["PATH=/usr/bin", "LANG=C.UTF-8"]
    (layer,) = manifest["layers"]
    plain = gzip.decompress(blob(archive, layer["digest"]))
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(plain).hexdigest()}"]


def test_the_layer_has_links_but_no_devices(tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    digest = write_archive(make_root(tmp_path / "r", order=1, time=1e9), archive, config=CONFIG, ref=REF)
    manifest = json.loads(blob(archive, digest))
    layer = blob(archive, manifest["layers"][0]["digest"])
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        members = {member.name: member for member in tar}
    assert sorted(members) == ["a", "a/link", "a/one", "a/twin", "b", "b/two", "dev", "tmp"]
    assert members["a/link"].linkname == "one"
    assert members["a/twin"].islnk()
    assert {member.mtime for member in members.values()} == {946684800}
    assert {(member.uname, member.gname) for member in members.values()} == {("", "")}
