"""The bytes of a layer. They are held against BuildKit's in tests/integration/test_layer_differential.py."""

from __future__ import annotations

import gzip
import tarfile
from io import BytesIO

from lamina.execute.layer_tar import Owner, compressed, layer_tar
from lamina.files import EPOCH
from lamina.identify.copy_layer import LayerEntry
from lamina.registries.base import sha256

LONG = "/".join(["a-folder-with-a-long-name"] * 7)
ENTRIES = (
    LayerEntry("var", "dir"),
    LayerEntry("var/é", "file", source="é"),
    LayerEntry(f"var/{LONG[:120]}/run.sh", "exec", source="run.sh"),
    LayerEntry(f"var/{LONG}{LONG}/x", "file", source="x"),
    LayerEntry("var/link", "link", source="link"),
)


def read(entry: LayerEntry) -> bytes:
    return LONG.encode() if entry.kind == "link" else entry.source.encode() * 300


def test_it_holds_what_was_copied_with_fixed_times() -> None:
    tar = layer_tar(ENTRIES, Owner(user=3_000_000, group=5), read)

    with tarfile.open(fileobj=BytesIO(tar)) as archive:
        members = archive.getmembers()
        assert [each.name for each in members] == [each.path for each in ENTRIES]
        assert {(each.uid, each.gid, each.mtime, each.uname) for each in members} == {
            (3_000_000, 5, EPOCH, "")
        }
        assert [each.mode for each in members] == [0o755, 0o644, 0o755, 0o644, 0o777]
        assert members[-1].linkname == LONG
        assert archive.extractfile(members[2]).read() == b"run.sh" * 300


def test_its_bytes_stay_as_they_were_when_buildkit_made_the_same() -> None:
    tar = layer_tar(ENTRIES, Owner(), read)

    assert sha256(tar) == "sha256:e758f0448b9e291f641f26ce062a9c100b00608bda82288462808d405502fb53"
    assert gzip.decompress(compressed(tar)) == tar
    assert compressed(tar) == compressed(tar)
