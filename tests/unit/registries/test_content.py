from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.errors import BuildError
from lamina.registries.base import sha256
from lamina.registries.content import open_archive, read_entries

Change = Callable[[tarfile.TarInfo], None]


def layer(change: Change = lambda _: None, content: bytes = b"text") -> bytes:
    """A layer of one file in a folder, and a link to it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, kind, target in (
            ("var", tarfile.DIRTYPE, ""),
            ("./var/file", tarfile.REGTYPE, ""),
            ("var/link", tarfile.SYMTYPE, "file"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode = kind, target, 0o644
            change(info)
            body = content if info.isreg() else b""
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return stream.getvalue()


def entries(packed: bytes) -> dict[str, str]:
    found = read_entries(io.BytesIO(packed))
    assert found is not None
    return dict(found)


def of_links(info: tarfile.TarInfo) -> None:
    if info.issym():
        info.linkname = "elsewhere"


def test_a_layer_is_read_packed_or_not() -> None:
    assert set(entries(layer())) == {"var", "var/file", "var/link"}
    assert entries(gzip.compress(layer())) == entries(layer())


def test_times_are_no_difference() -> None:
    assert entries(layer(lambda info: setattr(info, "mtime", 7))) == entries(layer())


@pytest.mark.parametrize(
    ("other", "path"),
    [
        (layer(content=b"TEXT"), "var/file"),
        (layer(lambda info: setattr(info, "mode", 0o755)), "var/file"),
        (layer(lambda info: setattr(info, "uid", 1)), "var"),
        (layer(of_links), "var/link"),
    ],
)
def test_content_mode_owner_and_target_are(other: bytes, path: str) -> None:
    assert entries(other)[path] != entries(layer())[path]


def test_a_packing_that_python_lacks_is_none() -> None:
    assert read_entries(io.BytesIO(b"\x28\xb5\x2f\xfd" + bytes(600))) is None


def archive(file: Path, **members: bytes) -> Path:
    with tarfile.open(file, "w") as tar:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return file


def test_an_archive_gives_configuration_and_layers(tmp_path: Path) -> None:
    named = json.dumps([{"Config": "c", "Layers": ["one", "two"]}]).encode()
    file = archive(tmp_path / "x.tar", **{"manifest.json": named}, c=b'{"os": "linux"}', one=b"1", two=b"2")
    with open_archive(file) as content:
        assert content.config == {"os": "linux"}
        assert content.digest == sha256(b'{"os": "linux"}')
        assert content.annotations == {}
        read = []
        for opened in content.layers:
            with opened() as stream:
                read.append(stream.read())
        assert read == [b"1", b"2"]


@pytest.mark.parametrize(
    "members",
    [{}, {"manifest.json": b"[]"}, {"manifest.json": b"nonsense"}, {"manifest.json": b'[{"Config": "c"}]'}],
)
def test_an_archive_that_is_not_an_image_is_reported(tmp_path: Path, members: dict[str, bytes]) -> None:
    with (
        pytest.raises(BuildError, match="not an archive of one image"),
        open_archive(archive(tmp_path / "x.tar", **members)),
    ):
        pass


def test_the_annotations_are_those_of_the_manifest(tmp_path: Path) -> None:
    manifest = b'{"annotations": {"key": "value"}}'
    index = json.dumps({"manifests": [{"digest": sha256(manifest)}]}).encode()
    file = archive(
        tmp_path / "x.tar",
        **{
            "manifest.json": b'[{"Config": "c", "Layers": []}]',
            "c": b"{}",
            "index.json": index,
            f"blobs/{sha256(manifest).replace(':', '/')}": manifest,
        },
    )
    with open_archive(file) as content:
        assert content.annotations == {"key": "value"}
