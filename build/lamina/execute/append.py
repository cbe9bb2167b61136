"""Make an image from an earlier one without a builder: pack the new layers, and push them with a manifest."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from threading import Lock

from lamina.decide.append import (
    AppendPlan,
    EarlierImage,
    MadeLayer,
    NeedsBuilderError,
    NewLayer,
    compose,
)
from lamina.decide.plan import Decision, FoundImage
from lamina.errors import BuildError, RegistryError
from lamina.execute.bake import image_annotations
from lamina.execute.image_store import RegistryStore
from lamina.execute.image_store import find_images as find_existing
from lamina.execute.layer_tar import Owner, compressed, layer_tar
from lamina.execute.outcome import Result
from lamina.identify.code_copies import code_tag
from lamina.identify.copy_layer import LayerEntry
from lamina.identify.image import Image
from lamina.oci import OciConfig, OciDescriptor, OciManifest
from lamina.parallel import both, gather
from lamina.refs import Reference
from lamina.registries.base import OCI_MANIFEST, Descriptor, Manifest, Registry, sha256
from lamina.registries.refusals import UnansweredError
from lamina.values import dataclass

_THREADS = 8
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


def find_manifests(registry: Registry, refs: Iterable[Reference]) -> Mapping[Reference, Manifest]:
    """Return the manifests of those images that exist and are not indexes."""
    found = registry.manifests(refs)
    return {ref: each for ref, each in found.items() if each is not None and each.config is not None}


def read_images(
    registry: Registry, manifests: Mapping[Reference, Manifest]
) -> Mapping[Reference, EarlierImage]:
    """Return the images of these manifests with their configurations."""
    read = gather(lambda item: _read(registry, *item), manifests.items(), threads=_THREADS)
    return dict(zip(manifests, read, strict=True))


def find_images(registry: Registry, refs: Iterable[Reference]) -> Mapping[Reference, EarlierImage]:
    """Return those of the images that exist and are not indexes."""
    return read_images(registry, find_manifests(registry, refs))


def _read(registry: Registry, ref: Reference, manifest: Manifest) -> EarlierImage:
    config: OciConfig = {}
    if manifest.config is not None:
        with BytesIO() as sink:
            registry.blob(ref, manifest.config, sink)
            config = json.loads(sink.getvalue())
    document: OciManifest = json.loads(manifest.raw)
    document.setdefault("mediaType", manifest.media_type)
    return EarlierImage(digest=manifest.digest, manifest=document, config=config)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendedImage:
    """An image that was pushed. stored: its manifest, byte for byte."""

    stored: Manifest
    content: EarlierImage


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


def append(request: AppendRequest, registry: Registry, packer: Packer) -> AppendedImage:
    """Push the new image under its content tag and return it.

    Raises BuildError if a file changed since it was hashed, and RegistryError.
    """
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
    if request.base:
        ref, base = request.base
        have = {each["digest"] for each in plan.before.layers}
        layers = _descriptors(each for each in base.layers if each["digest"] not in have)
        registry.share(ref, image.ref, dict.fromkeys(layers))
    registry.write(image.ref, made, described, *(raw for _, raw in packed.values()))
    return AppendedImage(
        stored=made, content=EarlierImage(digest=made.digest, manifest=manifest, config=config)
    )


def _pack(image: Image, layer: NewLayer) -> tuple[MadeLayer, bytes]:
    user, _, group = layer.chown.partition(":")
    owner = Owner(user=int(user or 0), group=int(group or user or 0))
    tar = layer_tar(layer.entries, owner, lambda entry: _content(image, entry))
    raw = compressed(tar)
    return MadeLayer(digest=sha256(raw), size=len(raw), diff_id=sha256(tar)), raw


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
        raise BuildError.of("changed while it was being read", where=entry.source, hint="run again")
    return found


def _dump(document: OciConfig) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogateescape")


def _descriptors(layers: Iterable[OciDescriptor]) -> tuple[Descriptor, ...]:
    """Return the layers of a manifest as descriptors."""
    return tuple(
        Descriptor(media_type=each["mediaType"], digest=each["digest"], size=each["size"]) for each in layers
    )


class Appender:
    """Appends images.

    results: of those that the registry has confirmed. refused: image -> why it needs a builder after all.
    """

    def __init__(
        self,
        registry: Registry,
        images: Mapping[str, Image],
        found: Mapping[str, FoundImage],
        revision: str | None,
        *,
        static: bool,
    ) -> None:
        self._registry = registry
        self._store = RegistryStore(registry)
        self._packer = Packer()
        self._images = images
        self._found = found
        self._annotations = partial(image_annotations, revision=revision, static=static)
        self._made: dict[str, EarlierImage] = {}
        self.results: dict[str, Result] = {}
        self.refused: dict[str, str] = {}

    def run(self, decision: Decision) -> None:
        """Append an image, or note why it is refused.

        Raises BuildError unless the registry confirms it and Lambda would take it.
        """
        started, image, plan = time.time(), decision.image, decision.append
        if plan is None:
            raise ValueError("not an image to append")
        request = AppendRequest(
            image=image,
            plan=plan,
            base=self._base(plan.moved) if plan.moved else None,
            annotations={**self._annotations(image), APPENDED_KEY: plan.before.digest},
            created=datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        )
        try:
            made = self._push(request)
        except NeedsBuilderError as error:
            self.refused[image.name] = str(error)
            return
        self._made[image.name] = made.content
        found, _ = both(lambda: self._confirm(image, made), lambda: self._tag(image, made.stored))
        ended = time.time()
        self.results[image.name] = Result(
            image=image,
            status="built",
            reasons=decision.reasons,
            digest=found.digest,
            size=found.size,
            seconds=ended - started,
            spans=((started, ended),),
            layers={each["digest"]: each["size"] for each in _top(made.content, plan.own)},
            appended=plan.before.digest,
        )

    def _base(self, name: str) -> tuple[Reference, EarlierImage]:
        if name in self._made:
            return self._images[name].ref, self._made[name]
        found = self._found[name]
        ref = found.ref.with_digest(found.digest)
        read = find_images(self._registry, [ref])
        if ref not in read:
            raise BuildError.of(f"{ref} is no longer there", where=self._store.name, hint="run it again")
        return ref, read[ref]

    def _push(self, request: AppendRequest) -> AppendedImage:
        """Push an image. Raises NeedsBuilderError if the registry has lost layers that it keeps."""
        try:
            return append(request, self._registry, self._packer)
        except UnansweredError:
            raise
        except RegistryError:  # a run at the same time may have pushed the same image, under an immutable tag
            ref = request.image.ref
            if find_existing(self._store, [request.image]):
                existing = find_manifests(self._registry, [ref])[ref]
                return AppendedImage(stored=existing, content=find_images(self._registry, [ref])[ref])
            if lost := self._lost(request):
                raise NeedsBuilderError(f"the registry has lost its layer {lost[0][:19]}") from None
            raise

    def _lost(self, request: AppendRequest) -> tuple[str, ...]:
        """Return the missing layers among those that an image takes from others."""
        plan, ref = request.plan, request.image.ref
        own = len(plan.before.layers) - plan.own
        kept = [each for at, each in enumerate(plan.before.layers, -own) if at not in plan.layers]
        wanted = {ref: _descriptors(kept[own:] if request.base else kept)}
        if request.base:
            wanted[request.base[0]] = _descriptors(request.base[1].layers)
        return tuple(digest for each in self._registry.lost(wanted).values() for digest in each)

    def _tag(self, image: Image, made: Manifest) -> None:
        with suppress(RegistryError):  # where tags are immutable, the earlier image goes on to serve
            self._registry.write(image.repository.with_tag(code_tag(image, self._images)), made)

    def _confirm(self, image: Image, made: AppendedImage) -> FoundImage:
        """Return the image under the tag. Raises BuildError if it is another one, or not one for Lambda."""
        stored, ref = made.stored, image.ref
        digest = self._registry.digest(ref)
        found = FoundImage(ref=ref, digest=stored.digest, size=stored.size)
        if digest != stored.digest:  # unless a run at the same time pushed the same
            existing = self._store.find([ref]).get(ref)
            if existing is None or not existing.is_image(image):
                raise BuildError.of(
                    f"{self._store.name} does not confirm {ref}: pushed {stored.digest}, "
                    f"found {existing.digest if existing else 'nothing'}",
                    hint="run it again; nothing was recorded of it",
                )
            found = existing
        if reasons := self._store.refusals_of(ref, stored, made.content.config, image.node.spec.platform):
            raise BuildError.of(
                "\n  ".join((f"Lambda would refuse {ref}:", *reasons)),
                where=image.node.spec.dockerfile_path,
                hint="fix the base that causes it; nothing was recorded of it",
            )
        return found


def _top(image: EarlierImage, count: int) -> Sequence[OciDescriptor]:
    return image.layers[len(image.layers) - count :]
