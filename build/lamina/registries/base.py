"""What a registry is to us: manifests by reference, and four things one may do to them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

from lamina.refs import Reference

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
_CHUNK = 1 << 20
ACCEPTED = (OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_LIST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """What a manifest says of one blob, or an index of one manifest. size: bytes as stored (compressed)."""

    media_type: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest exactly as the registry keeps it.

    digest: ``sha256:<64 hex>`` over ``raw``. Raises ValueError when ``raw`` is no JSON object.
    Shapes: https://github.com/opencontainers/image-spec (manifest, index), Docker schema 2.
    """

    media_type: str
    digest: str
    raw: bytes = field(repr=False)
    _document: Mapping[str, Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        document = json.loads(self.raw)
        if not isinstance(document, dict):
            raise ValueError("a manifest is a JSON object")
        object.__setattr__(self, "_document", document)

    @classmethod
    def of(cls, raw: bytes, media_type: str = "") -> Manifest:
        """The manifest made of these bytes; their own ``mediaType`` counts where the caller knows none."""
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
        """The manifest's own annotations; none is an empty mapping."""
        return dict(self._document.get("annotations") or {})

    @property
    def config(self) -> Descriptor | None:
        """The image configuration; an index has none."""
        found = self._document.get("config")
        return _descriptor(found) if found else None

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """The layers, lowest first; an index has none."""
        return tuple(_descriptor(item) for item in self._document.get("layers") or ())

    @property
    def size(self) -> int:
        """Bytes of configuration and layers as stored, compressed: what a first pull moves."""
        return sum(blob.size for blob in (self.config, *self.layers) if blob)

    @property
    def manifests(self) -> tuple[Descriptor, ...]:
        """What an index lists, attestations included."""
        return tuple(_descriptor(item) for item in self._document.get("manifests") or ())

    @property
    def platforms(self) -> Mapping[str, Descriptor]:
        """``linux/amd64`` or ``linux/arm64/v8`` -> manifest, for an index; attestations are left out."""
        found = {}
        for item in self._document.get("manifests") or ():
            told = item.get("platform") or {}
            parts = [told.get("os"), told.get("architecture"), told.get("variant")]
            if parts[0] and parts[0] != "unknown":
                found["/".join(part for part in parts if part)] = _descriptor(item)
        return found


class Registry(Protocol):
    """Where images live. Failures are `RegistryError`, which says what to do next."""

    @property
    def address(self) -> str:
        """``host[:port][/prefix]``: what repository names are appended to."""
        ...

    def manifest(self, ref: Reference) -> Manifest | None:
        """The manifest behind a tag or digest; None when the registry knows no such image or repository."""
        ...

    def manifests(self, refs: Iterable[Reference]) -> Mapping[Reference, Manifest | None]:
        """Many at once, in parallel, in the order asked for."""
        ...

    def lost(self, blobs: Mapping[Reference, Iterable[Descriptor]]) -> Mapping[Reference, tuple[str, ...]]:
        """Digests of those blobs that are not there; what a registry does not tell counts as there.

        blobs: a repository, under any tag or digest -> what to look for in it. One request each, in parallel.
        """
        ...

    def blob(self, ref: Reference, blob: Descriptor, sink: IO[bytes]) -> None:
        """Fetch what a manifest of this repository names: a configuration, a layer. Its digest is checked."""
        ...

    def tail(self, ref: Reference, blob: Descriptor, count: int) -> bytes:
        """The last bytes of such a blob, without the others."""
        ...

    def retag(self, source: Reference, target: Reference) -> None:
        """Put the very same bytes under another tag or into another repository of this registry."""
        ...

    def write(self, ref: Reference, manifest: Manifest, *blobs: bytes) -> None:
        """Put a manifest under a tag, and before it such blobs of it as are not there yet."""
        ...

    def delete(self, ref: Reference) -> None:
        """Delete a manifest with all its tags (by digest) or one tag (by tag); absent is success."""
        ...

    def missing_repositories(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of the repositories (names below ``address``) which must be created before a push."""
        ...

    def create_repository(self, name: str) -> None:
        """Create a repository (a name below ``address``); an existing one is success."""
        ...


def sha256(raw: bytes) -> str:
    """``sha256:<64 hex>`` of the bytes."""
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def sha256_of(stream: IO[bytes]) -> str:
    """``sha256:<64 hex>`` of what is left in a stream, however long it is."""
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def _descriptor(item: Mapping[str, Any]) -> Descriptor:
    return Descriptor(
        media_type=str(item.get("mediaType", "")),
        digest=str(item.get("digest", "")),
        size=int(item.get("size", 0)),
    )
