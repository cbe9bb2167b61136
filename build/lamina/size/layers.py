"""Read the files of an image, layer by layer: paths and bytes, deletions, and which package owns a file."""

from __future__ import annotations

import csv
import posixpath
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO

from lamina.oci import OciConfig
from lamina.registries.content import Content

_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_RECORD = ".dist-info/RECORD"
_LONGEST = 100
_SHELL = "/bin/sh -c "
_NO_OPERATION = "#(nop) "


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFiles:
    """The files that a layer adds, and those it takes away.

    Attributes:
        sizes: path without leading slash -> bytes; links and devices have none.
        removed: paths that it deletes from the layers below.
        emptied: folders whose content in the layers below it hides.
        records: path of each RECORD -> the paths that it lists, as ``sizes`` has them.
    """

    sizes: Mapping[str, int] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()
    emptied: frozenset[str] = frozenset()
    records: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLayer:
    """A layer of an image.

    Attributes:
        number: from 1, the lowest.
        diff_id: the digest of its unpacked tar.
        made_by: the instruction that made it.
        is_own: whether the project made it, not the runtime that it is built on.
        files: None if it cannot be read, as one compressed with zstd.
    """

    number: int
    diff_id: str
    made_by: str
    is_own: bool
    files: LayerFiles | None


def layer_facts(config: OciConfig) -> tuple[tuple[str, str], ...]:
    """Return diff_id and instruction of each layer, lowest first. Instructions are empty if they are unknown.

    config: https://github.com/opencontainers/image-spec/blob/main/config.md
    """
    digests = tuple((config.get("rootfs") or {}).get("diff_ids") or ())
    made = [
        _shown(str(each.get("created_by", "")))
        for each in config.get("history") or ()
        if not each.get("empty_layer")
    ]
    return tuple(zip(digests, made if len(made) == len(digests) else [""] * len(digests), strict=True))


def read_layer(content: Content, index: int) -> LayerFiles | None:
    """Read one layer of an opened image; None if it is in a compression that Python cannot read."""
    with content.layers[index]() as stream:
        return read_files(stream)


def read_files(stream: IO[bytes]) -> LayerFiles | None:
    """Read the tar of a layer, compressed or not, in one pass."""
    sizes: dict[str, int] = {}
    removed, emptied, records = set[str](), set[str](), dict[str, tuple[str, ...]]()
    try:
        with tarfile.open(fileobj=stream, mode="r|*") as tar:
            for member in tar:
                path = member.name.removeprefix("./").strip("/")
                folder, _, name = path.rpartition("/")
                if name == _OPAQUE:
                    emptied.add(folder)
                elif name.startswith(_WHITEOUT):
                    removed.add(posixpath.join(folder, name.removeprefix(_WHITEOUT)))
                elif member.isreg():
                    sizes[path] = member.size
                    if path.endswith(_RECORD) and (body := tar.extractfile(member)):
                        records[path] = listed(path, body.read().decode("utf-8", "replace"))
    except tarfile.TarError:
        return None
    return LayerFiles(sizes=sizes, removed=frozenset(removed), emptied=frozenset(emptied), records=records)


def listed(record: str, text: str) -> tuple[str, ...]:
    """Return the paths that a RECORD lists, which are relative to the folder of the packages.

    https://packaging.python.org/en/latest/specifications/recording-installed-packages/
    """
    site = posixpath.dirname(posixpath.dirname(record))
    names = (row[0] for row in csv.reader(text.splitlines()) if row)
    return tuple(posixpath.normpath(posixpath.join(site, name)).lstrip("/") for name in names)


def _shown(created_by: str) -> str:
    """Return the instruction in a history's ``created_by``, as a Dockerfile has it, in one line."""
    text = created_by.removesuffix(" # buildkit")
    if text.startswith(_SHELL):
        rest = text.removeprefix(_SHELL)
        text = rest.removeprefix(_NO_OPERATION) if rest.startswith(_NO_OPERATION) else f"RUN {rest}"
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
