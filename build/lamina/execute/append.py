"""Make an image from an earlier one without a builder: pack new layers, compose a manifest, store both."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import field
from datetime import UTC, datetime
from functools import partial
from threading import Lock
from typing import Protocol

from lamina.decide.append import (
    AppendPlan,
    EarlierImage,
    MadeLayer,
    NeedsBuilderError,
    NewLayer,
    compose,
)
from lamina.decide.plan import Decision, FoundImage
from lamina.errors import BuildError
from lamina.execute.annotations import image_annotations
from lamina.execute.layer_tar import Owner, compressed, layer_tar
from lamina.execute.outcome import Result
from lamina.identify.context import CHANGED
from lamina.identify.copy_layer import LayerEntry
from lamina.identify.image import Image
from lamina.oci import OciConfig
from lamina.parallel import both
from lamina.refs import Reference
from lamina.registries.base import OCI_MANIFEST, Manifest, sha256
from lamina.values import dataclass

_CONFIG = "application/vnd.oci.image.config.v1+json"
APPENDED_KEY = "dev.lamina.appended-to"
"""Annotation of an appended image: the digest of the image whose other layers it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendRequest:
    """An image to append. base: the base that moved, and a reference to its repository; None if none did.

    annotations: of the new manifest. created: the time, as in RFC 3339.
    """

    image: Image
    plan: AppendPlan
    base: tuple[Reference, EarlierImage] | None
    annotations: Mapping[str, str]
    created: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendedImage:
    """An image that was made. stored: its manifest, byte for byte. config: its configuration's bytes.

    blobs: the bytes of its new layers.
    """

    stored: Manifest
    content: EarlierImage
    config: bytes = field(repr=False)
    blobs: tuple[bytes, ...] = field(repr=False)


class AppendStore(Protocol):
    """Where images are appended to earlier ones: a registry, or an engine's own store."""

    @property
    def name(self) -> str:
        """The name used in reasons: ``the registry``."""
        ...

    def earlier(self, images: Iterable[Image]) -> Mapping[str, EarlierImage]:
        """Return for each image the one that a code change is appended to, by name; without missing ones."""
        ...

    def of_inputs(self, image: Image, fingerprint: str) -> EarlierImage | None:
        """Return the image as it was with another fingerprint; None if it is not known."""
        ...

    def base(self, image: Image, found: FoundImage) -> EarlierImage:
        """Read an existing base. Raises NeedsBuilderError if it cannot be read, BuildError if it is gone."""
        ...

    def put(self, request: AppendRequest, made: AppendedImage) -> AppendedImage:
        """Store an image under its content tag and return it, or the same image that another run stored.

        Raises NeedsBuilderError if layers that it takes from others are lost.
        """
        ...

    def confirm(self, image: Image, made: AppendedImage) -> FoundImage:
        """Return the stored image, to which later code changes can be appended from now on.

        Raises BuildError if it is not confirmed, NeedsBuilderError if it turns out to lack layers.
        """
        ...

    def own_layers(self, image: Image, made: AppendedImage, count: int) -> Mapping[str, int]:
        """Return its upper layers: digest -> bytes as stored, lowest first; empty if unknown."""
        ...


class Packer:
    """Packs layers, each once: images may copy the same folder. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._of_layer: dict[tuple[tuple[LayerEntry, ...], str], Lock] = {}
        self._packed: dict[tuple[tuple[LayerEntry, ...], str], tuple[MadeLayer, bytes]] = {}

    def pack(self, image: Image, layer: NewLayer) -> tuple[MadeLayer, bytes]:
        """Return a layer of an image, and its bytes. Raises BuildError if a file changed."""
        key = layer.entries, layer.chown
        with self._lock:
            lock = self._of_layer.setdefault(key, Lock())
        with lock:
            if key not in self._packed:
                self._packed[key] = _pack(image, layer)
            return self._packed[key]


def make_image(request: AppendRequest, packer: Packer) -> AppendedImage:
    """Pack the new layers and compose the image. Raises BuildError if a file changed since it was hashed."""
    image, plan = request.image, request.plan
    packed = {at: packer.pack(image, layer) for at, layer in plan.layers.items()}
    manifest, config = compose(
        plan,
        {at: made for at, (made, _) in packed.items()},
        request.base[1] if request.base else None,
        fingerprint=image.fingerprint,
        annotations=request.annotations,
        created=request.created,
    )
    described = _dump(config)
    manifest["config"] = {"mediaType": _CONFIG, "digest": sha256(described), "size": len(described)}
    made = Manifest.of(json.dumps(manifest, separators=(",", ":")).encode(), OCI_MANIFEST)
    return AppendedImage(
        stored=made,
        content=EarlierImage(digest=made.digest, manifest=manifest, config=config),
        config=described,
        blobs=tuple(raw for _, raw in packed.values()),
    )


def _pack(image: Image, layer: NewLayer) -> tuple[MadeLayer, bytes]:
    tar = pack_tar(image, layer.entries, layer.chown)
    raw = compressed(tar)
    return MadeLayer(digest=sha256(raw), size=len(raw), diff_id=sha256(tar)), raw


def pack_tar(image: Image, entries: Iterable[LayerEntry], chown: str) -> bytes:
    """Return a tar of entries of a code copy. chown: see `NewLayer`. Raises BuildError if a file changed."""
    user, _, group = chown.partition(":")
    owner = Owner(user=int(user or 0), group=int(group or user or 0))
    return layer_tar(entries, owner, lambda entry: _content(image, entry))


def _content(image: Image, entry: LayerEntry) -> bytes:
    """Return the content of a file, or the target of a link, which must be what was hashed."""
    path = f"{image.root('')}/{entry.source}"
    try:
        if entry.kind == "link":
            found = os.fsencode(os.readlink(path))  # noqa: PTH115 - as stored, not normalised
        else:
            with open(path, "rb") as file:  # noqa: PTH123 - a name of any bytes
                found = file.read()
    except OSError as error:
        raise BuildError.of(f"cannot be read: {error.strerror}", where=path, hint="run again") from None
    if hashlib.sha256(found).hexdigest() != entry.sha256:
        raise BuildError.of(CHANGED, where=entry.source, hint="run again")
    return found


def _dump(document: OciConfig) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogateescape")


class Appender:
    """Appends images.

    results: of those that the store has confirmed. refused: image -> why it needs a builder after all.
    """

    def __init__(
        self,
        store: AppendStore,
        images: Mapping[str, Image],
        found: Mapping[str, FoundImage],
        revision: str | None,
        *,
        static: bool,
    ) -> None:
        self._store = store
        self._packer = Packer()
        self._images = images
        self._found = found
        self._annotations = partial(image_annotations, revision=revision, static=static)
        self._made: dict[str, EarlierImage] = {}
        self.results: dict[str, Result] = {}
        self.refused: dict[str, str] = {}

    def run(self, decision: Decision) -> None:
        """Append an image, or note why it is refused.

        Raises BuildError unless the store confirms it and, if it was pushed, Lambda would take it.
        """
        started, image, plan = time.time(), decision.image, decision.append
        if plan is None:
            raise ValueError("not an image to append")
        try:
            request = AppendRequest(
                image=image,
                plan=plan,
                base=self._base(plan.moved) if plan.moved else None,
                annotations={**self._annotations(image), APPENDED_KEY: plan.before.digest},
                created=datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            )
            made = self._store.put(request, make_image(request, self._packer))
            found, layers = both(
                lambda: self._store.confirm(image, made),
                lambda: self._store.own_layers(image, made, plan.own),
            )
        except NeedsBuilderError as error:
            self.refused[image.name] = str(error)
            return
        self._made[image.name] = made.content
        ended = time.time()
        self.results[image.name] = Result(
            image=image,
            status="built",
            reasons=decision.reasons,
            digest=found.digest,
            size=found.size,
            seconds=ended - started,
            spans=((started, ended),),
            layers=layers,
            appended=plan.before.digest,
        )

    def _base(self, name: str) -> tuple[Reference, EarlierImage]:
        if name in self._made:
            return self._images[name].ref, self._made[name]
        found = self._found[name]
        return found.ref.with_digest(found.digest), self._store.base(self._images[name], found)
