"""The `Registry` protocol: manifests and blobs by reference, and the operations on them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import IO, Protocol

from lamina.oci import OciDescriptor, OciManifest
from lamina.refs import Reference
from lamina.values import dataclass

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
_CHUNK = 1 << 20
ACCEPTED = (OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_LIST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A manifest's entry for a blob, or an index's for a manifest. size: bytes as stored (compressed)."""

    media_type: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest, byte for byte as the registry stores it.

    digest: ``sha256:<64 hex>`` over ``raw``. Raises ValueError when ``raw`` is not a JSON object.
    Shapes: https://github.com/opencontainers/image-spec (manifest, index), Docker schema 2.
    """

    media_type: str
    digest: str
    raw: bytes = field(repr=False)
    _document: OciManifest = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        document = json.loads(self.raw)
        if not isinstance(document, dict):
            raise ValueError("a manifest is a JSON object")
        object.__setattr__(self, "_document", document)

    @classmethod
    def of(cls, raw: bytes, media_type: str = "") -> Manifest:
        """Return the manifest with these bytes. Without ``media_type`` their own ``mediaType`` is used."""
        manifest = cls(media_type=media_type, digest=sha256(raw), raw=raw)
        if media_type:
            return manifest
        named = manifest._document.get("mediaType") or (OCI_INDEX if manifest.is_index else OCI_MANIFEST)
        return cls(media_type=str(named), digest=manifest.digest, raw=raw)

    @property
    def is_index(self) -> bool:
        """Whether it lists other manifests (OCI index, Docker list) instead of layers."""
        return self.media_type in {OCI_INDEX, DOCKER_LIST} or "manifests" in self._document

    @property
    def annotations(self) -> Mapping[str, str]:
        """The manifest's own annotations; empty without any."""
        return dict(self._document.get("annotations") or {})

    @property
    def config(self) -> Descriptor | None:
        """The descriptor of the image configuration; None for an index."""
        found = self._document.get("config")
        return _descriptor(found) if found else None

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """The layers, lowest first; empty for an index."""
        return tuple(_descriptor(item) for item in self._document.get("layers") or ())

    @property
    def size(self) -> int:
        """Bytes of configuration and layers as stored (compressed), the size of a first pull."""
        return sum(blob.size for blob in (self.config, *self.layers) if blob)

    @property
    def manifests(self) -> tuple[Descriptor, ...]:
        """The manifests of an index, including attestations."""
        return tuple(_descriptor(item) for item in self._document.get("manifests") or ())

    @property
    def platforms(self) -> Mapping[str, Descriptor]:
        """Platform (``linux/amd64``, ``linux/arm64/v8``) -> manifest of an index, without attestations."""
        found = {}
        for item in self._document.get("manifests") or ():
            platform = item.get("platform") or {}
            parts = [platform.get("os"), platform.get("architecture"), platform.get("variant")]
            if parts[0] and parts[0] != "unknown":
                found["/".join(part for part in parts if part)] = _descriptor(item)
        return found


class Registry(Protocol):
    """A registry. All methods raise `RegistryError`, which names the next step."""

    @property
    def address(self) -> str:
        """``host[:port][/prefix]``, before the names of repositories."""
        ...

    def manifest(self, ref: Reference) -> Manifest | None:
        """Return the manifest of a tag or digest; None when the image or repository does not exist."""
        ...

    def digest(self, ref: Reference) -> str | None:
        """Return the digest that a tag names now, as the registry reports it; None when it does not exist."""
        ...

    def manifests(self, refs: Iterable[Reference]) -> Mapping[Reference, Manifest | None]:
        """Return many manifests, read in parallel, in the order of ``refs``."""
        ...

    def lost(self, blobs: Mapping[Reference, Iterable[Descriptor]]) -> Mapping[Reference, tuple[str, ...]]:
        """Return the digests of missing blobs; a blob counts as present when the registry does not answer.

        One request per blob, in parallel. blobs: a repository, under any tag or digest -> blobs to look for.
        """
        ...

    def blob(self, ref: Reference, blob: Descriptor, sink: IO[bytes]) -> None:
        """Fetch a blob of this repository (a configuration, a layer) and check its digest."""
        ...

    def tail(self, ref: Reference, blob: Descriptor, count: int) -> bytes:
        """Return the last ``count`` bytes of a blob."""
        ...

    def retag(self, source: Reference, target: Reference) -> None:
        """Copy a manifest, byte for byte, to another tag or repository of this registry."""
        ...

    def write(self, ref: Reference, manifest: Manifest, *blobs: bytes) -> None:
        """Push ``blobs`` in parallel, then a manifest under a tag."""
        ...

    def upload(self, ref: Reference, digest: str, body: IO[bytes]) -> None:
        """Push one blob to a repository."""
        ...

    def share(self, source: Reference, target: Reference, blobs: Iterable[Descriptor]) -> None:
        """Make blobs of one repository available in another one of this registry, in parallel."""
        ...

    def delete(self, ref: Reference) -> None:
        """Delete a manifest with all its tags (by digest) or one tag (by tag); succeed when it is missing."""
        ...

    def missing_repositories(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the repositories (names below ``address``) that must be created before a push."""
        ...

    def create_repository(self, name: str) -> None:
        """Create a repository (a name below ``address``); succeed when it exists."""
        ...


def sha256(raw: bytes) -> str:
    """Return ``sha256:<64 hex>`` of the bytes."""
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def sha256_of(stream: IO[bytes]) -> str:
    """Return ``sha256:<64 hex>`` of the rest of a stream, read in chunks."""
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def _descriptor(item: OciDescriptor) -> Descriptor:
    return Descriptor(
        media_type=str(item.get("mediaType", "")),
        digest=str(item.get("digest", "")),
        size=int(item.get("size", 0)),
    )
