"""The content of an image: its configuration and the entries of its layers."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import IO

from lamina.errors import BuildError
from lamina.oci import OciConfig
from lamina.registries.base import sha256, sha256_of
from lamina.values import dataclass

_KINDS = {
    tarfile.DIRTYPE: "dir",
    tarfile.SYMTYPE: "link",
    tarfile.LNKTYPE: "hard link",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.FIFOTYPE: "pipe",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """An opened image.

    Attributes:
        config: the image configuration.
        digest: of its bytes.
        layers: lowest first, each opens a layer's tar stream, compressed or not.
        annotations: the manifest's own.
    """

    config: OciConfig
    digest: str
    layers: tuple[Callable[[], AbstractContextManager[IO[bytes]]], ...]
    annotations: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def open_archive(file: Path) -> Iterator[Content]:
    """Open an archive of ``docker save`` or BuildKit's ``type=docker``. Raises BuildError for other files.

    In every version of the format ``manifest.json`` names the configuration and the layers.
    """
    with ExitStack() as stack:
        try:
            tar = stack.enter_context(tarfile.open(file))
            (entry,) = json.loads(_member(tar, "manifest.json").read())
            config = _member(tar, entry["Config"]).read()
            layers = tuple(partial(_member, tar, name) for name in entry["Layers"])
            annotations = _annotations(tar)
            document = json.loads(config)
        except (tarfile.TarError, KeyError, TypeError, ValueError) as error:
            raise BuildError.of(f"not an archive of one image: {error}", where=str(file)) from error
        yield Content(config=document, digest=sha256(config), layers=layers, annotations=annotations)


def read_entries(layer: IO[bytes]) -> Mapping[str, str] | None:
    """Read a layer: path -> kind, mode, owner, and the content's sha256 or the link's target.

    Times are left out, since equal layers may be made at different times. None when the stream is not a tar
    in a compression that Python can read.
    """
    entries: dict[str, str] = {}
    try:
        with tarfile.open(fileobj=layer, mode="r|*") as tar:
            for member in tar:
                path = member.name.removeprefix("./").strip("/")
                if path in {"", "."}:
                    continue
                body = tar.extractfile(member) if member.isreg() else None
                content = (
                    sha256_of(body) if body else f"{member.linkname} {member.devmajor}:{member.devminor}"
                )
                kind = _KINDS.get(member.type, "file")
                entries[path] = f"{kind} {member.mode:o} {member.uid}:{member.gid} {content}"
    except tarfile.TarError:
        return None
    return entries


def _annotations(tar: tarfile.TarFile) -> Mapping[str, str]:
    """Return the annotations of the manifest in ``index.json``; empty when the archive has none."""
    if "index.json" not in tar.getnames():
        return {}
    (entry,) = json.loads(_member(tar, "index.json").read())["manifests"]
    manifest = json.loads(_member(tar, f"blobs/{entry['digest'].replace(':', '/')}").read())
    return dict(manifest.get("annotations") or {})


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    found = tar.extractfile(name)
    if found is None:
        raise KeyError(f"{name} is not a file")
    return found
