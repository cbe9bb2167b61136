"""Write a root file system as an image archive whose bytes depend on the files alone.

No engine is involved. The archive holds one OCI manifest, not an index, and has the same digest in every
engine. Layout: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

# After 1980: pip makes zip files, which cannot hold an earlier time.
_TIME = 946684800
_CREATED = "2000-01-01T00:00:00Z"
_CHUNK = 1 << 20
_EMPTY_FOLDERS = ("dev", "proc", "run", "sys", "tmp")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """The image's configuration; ``environment`` in the order in which it is written."""

    architecture: str
    environment: Mapping[str, str]
    entrypoint: tuple[str, ...]
    workdir: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blob:
    digest: str
    size: int


def write_archive(root: Path, target: Path, *, config: ImageConfig, ref: str) -> str:
    """Write the file system ``root`` as a single layer into the archive ``target``.

    Return the manifest's digest. ref: ``host/repository:tag``, the name of the image after `docker load`.
    """
    layer_file = target.with_name(f"{target.name}.layer")
    try:
        diff_id, layer = _write_layer(root, layer_file)
        config_bytes = _canonical(render_config(config, diff_id))
        manifest_bytes = _canonical(render_manifest(_describe(config_bytes), layer))
        manifest = _describe(manifest_bytes)
        blobs: dict[str, bytes | Path] = {
            layer.digest: layer_file,
            manifest.digest: manifest_bytes,
            _describe(config_bytes).digest: config_bytes,
        }
        files: dict[str, bytes | Path] = {
            "index.json": _canonical(_index(manifest, ref)),
            # For engines without the containerd image store.
            "manifest.json": _canonical(_legacy(_describe(config_bytes), layer, ref)),
            "oci-layout": _canonical({"imageLayoutVersion": "1.0.0"}),
            **{_blob_path(digest): content for digest, content in blobs.items()},
        }
        with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
            for name in sorted(files):
                _add(tar, name, files[name])
    finally:
        layer_file.unlink(missing_ok=True)
    return manifest.digest


def render_config(config: ImageConfig, diff_id: str) -> dict[str, object]:
    """Return the image's configuration. Fields: image-spec, config.md."""
    return {
        "architecture": config.architecture,
        "os": "linux",
        "created": _CREATED,
        "config": {
            "Env": [f"{name}={value}" for name, value in config.environment.items()],
            "Entrypoint": list(config.entrypoint),
            "WorkingDir": config.workdir,
            "Labels": dict(config.labels),
        },
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": _CREATED, "created_by": "lamina: stand-in runtime"}],
    }


def render_manifest(config: _Blob, layer: _Blob) -> dict[str, object]:
    """Return the image's manifest. Fields: image-spec, manifest.md."""
    return {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layer)],
    }


def _index(manifest: _Blob, ref: str) -> dict[str, object]:
    names = {"io.containerd.image.name": ref, "org.opencontainers.image.ref.name": ref.rpartition(":")[2]}
    entry = _descriptor("application/vnd.oci.image.manifest.v1+json", manifest) | {"annotations": names}
    return {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]}


def _legacy(config: _Blob, layer: _Blob, ref: str) -> list[dict[str, object]]:
    return [{"Config": _blob_path(config.digest), "RepoTags": [ref], "Layers": [_blob_path(layer.digest)]}]


def _write_layer(root: Path, target: Path) -> tuple[str, _Blob]:
    """Write the compressed layer. Return the digest of the uncompressed tar, and the layer's blob."""
    with target.open("wb") as file:
        packed = _Hashing(file)
        with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0, compresslevel=6) as squeezed:
            plain = _Hashing(squeezed)
            with tarfile.open(fileobj=plain, mode="w|", format=tarfile.PAX_FORMAT) as tar:
                for path in _walk(root):
                    _add_path(tar, root, path)
    return plain.digest, _Blob(digest=packed.digest, size=packed.size)


def _walk(root: Path) -> Iterator[Path]:
    """Yield all paths below ``root`` by name, without device nodes and the content of `_EMPTY_FOLDERS`."""
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        folders.sort()
        for name in sorted([*folders, *files]):
            path = here / name
            if path.is_symlink() or path.is_dir() or path.is_file():
                yield path
        if here == root:
            folders[:] = [name for name in folders if name not in _EMPTY_FOLDERS]


def _add_path(tar: tarfile.TarFile, root: Path, path: Path) -> None:
    entry = tar.gettarinfo(path, arcname=str(path.relative_to(root)))
    entry.mtime, entry.uname, entry.gname = _TIME, "", ""
    if entry.isreg():
        with path.open("rb") as content:
            tar.addfile(entry, content)
    else:
        tar.addfile(entry)


def _add(tar: tarfile.TarFile, name: str, content: bytes | Path) -> None:
    entry = tarfile.TarInfo(name)
    entry.mtime = _TIME
    if isinstance(content, Path):
        entry.size = content.stat().st_size
        with content.open("rb") as stream:
            tar.addfile(entry, stream)
    else:
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))


class _Sink(Protocol):
    def write(self, data: bytes, /) -> int: ...


class _Hashing(io.RawIOBase):
    """A sink that counts and hashes the bytes written to it."""

    def __init__(self, sink: _Sink) -> None:
        self._sink = sink
        self._hash = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, chunk: object, /) -> int:
        data = bytes(chunk)  # type: ignore[call-overload]
        self._hash.update(data)
        self._sink.write(data)
        self.size += len(data)
        return len(data)

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def _descriptor(media_type: str, blob: _Blob) -> dict[str, object]:
    return {"mediaType": media_type, "digest": blob.digest, "size": blob.size}


def _describe(content: bytes) -> _Blob:
    return _Blob(digest=f"sha256:{hashlib.sha256(content).hexdigest()}", size=len(content))


def _blob_path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
