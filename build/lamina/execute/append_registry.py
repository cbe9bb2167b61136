"""Append images in a registry: find earlier ones by their tags, push the new ones and confirm them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from io import BytesIO

from lamina.decide.append import EarlierImage, NeedsBuilderError
from lamina.decide.plan import FoundImage
from lamina.errors import BuildError, RegistryError
from lamina.execute.append import AppendedImage, AppendRequest
from lamina.execute.image_store import RegistryStore, find_images
from lamina.identify.code_copies import code_tag
from lamina.identify.fingerprint import content_tag
from lamina.identify.image import Image
from lamina.oci import OciConfig, OciDescriptor, OciManifest
from lamina.parallel import both, gather
from lamina.refs import Reference
from lamina.registries.base import Descriptor, Manifest, Registry
from lamina.registries.refusals import UnansweredError

_THREADS = 8


class RegistryAppends:
    """See `AppendStore`. images: all images of the project."""

    name = "the registry"

    def __init__(self, registry: Registry, images: Mapping[str, Image]) -> None:
        self._registry = registry
        self._store = RegistryStore(registry)
        self._images = images

    def earlier(self, images: Iterable[Image]) -> Mapping[str, EarlierImage]:
        """See `AppendStore.earlier`."""
        refs = {image.name: self._code_ref(image) for image in images}
        read = self._read_all(refs.values())
        return {name: read[ref] for name, ref in refs.items() if ref in read}

    def of_inputs(self, image: Image, fingerprint: str) -> EarlierImage | None:
        """See `AppendStore.of_inputs`."""
        ref = image.repository.with_tag(content_tag(fingerprint))
        return self._read_all([ref]).get(ref)

    def base(self, image: Image, found: FoundImage) -> EarlierImage:
        """See `AppendStore.base`."""
        del image
        ref = found.ref.with_digest(found.digest)
        read = self._read_all([ref])
        if ref not in read:
            raise BuildError.of(f"{ref} is no longer there", where=self._store.name, hint="run it again")
        return read[ref]

    def put(self, request: AppendRequest, made: AppendedImage) -> AppendedImage:
        """See `AppendStore.put`."""
        ref = request.image.ref
        try:
            if request.base:
                have = {each["digest"] for each in request.plan.before.layers}
                below, base = request.base
                layers = _descriptors(each for each in base.layers if each["digest"] not in have)
                self._registry.share(below, ref, dict.fromkeys(layers))
            self._registry.write(ref, made.stored, made.config, *made.blobs)
        except UnansweredError:
            raise
        except RegistryError:  # a run at the same time may have pushed the same image, under an immutable tag
            if find_images(self._store, [request.image]):
                return self._existing(ref)
            if lost := self._lost(request):
                raise NeedsBuilderError(f"the registry has lost its layer {lost[0][:19]}") from None
            raise
        return made

    def _existing(self, ref: Reference) -> AppendedImage:
        stored = self._manifests([ref])[ref]
        return AppendedImage(stored=stored, content=self._read(ref, stored), config=b"", blobs=())

    def _lost(self, request: AppendRequest) -> tuple[str, ...]:
        """Return the missing layers among those that an image takes from others."""
        plan, ref = request.plan, request.image.ref
        own = len(plan.before.layers) - plan.own
        kept = [each for at, each in enumerate(plan.before.layers, -own) if at not in plan.layers]
        wanted = {ref: _descriptors(kept[own:] if request.base else kept)}
        if request.base:
            wanted[request.base[0]] = _descriptors(request.base[1].layers)
        return tuple(digest for each in self._registry.lost(wanted).values() for digest in each)

    def confirm(self, image: Image, made: AppendedImage) -> FoundImage:
        """See `AppendStore.confirm`. Raises BuildError also if Lambda would refuse the image."""
        found, _ = both(lambda: self._confirmed(image, made), lambda: self._tag(image, made.stored))
        return found

    def own_layers(self, image: Image, made: AppendedImage, count: int) -> Mapping[str, int]:
        """See `AppendStore.own_layers`."""
        del image
        layers = made.content.layers
        return {each["digest"]: each["size"] for each in layers[len(layers) - count :]}

    def _tag(self, image: Image, made: Manifest) -> None:
        with suppress(RegistryError):  # where tags are immutable, the earlier image goes on to serve
            self._registry.write(self._code_ref(image), made)

    def _confirmed(self, image: Image, made: AppendedImage) -> FoundImage:
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

    def _code_ref(self, image: Image) -> Reference:
        return image.repository.with_tag(code_tag(image, self._images))

    def _manifests(self, refs: Iterable[Reference]) -> Mapping[Reference, Manifest]:
        """Return the manifests of those images that exist and are not indexes."""
        found = self._registry.manifests(refs)
        return {ref: each for ref, each in found.items() if each is not None and each.config is not None}

    def _read_all(self, refs: Iterable[Reference]) -> Mapping[Reference, EarlierImage]:
        """Return those of the images that exist and are not indexes."""
        manifests = self._manifests(refs)
        read = gather(lambda item: self._read(*item), manifests.items(), threads=_THREADS)
        return dict(zip(manifests, read, strict=True))

    def _read(self, ref: Reference, manifest: Manifest) -> EarlierImage:
        config: OciConfig = {}
        if manifest.config is not None:
            with BytesIO() as sink:
                self._registry.blob(ref, manifest.config, sink)
                config = json.loads(sink.getvalue())
        document: OciManifest = json.loads(manifest.raw)
        document.setdefault("mediaType", manifest.media_type)
        return EarlierImage(digest=manifest.digest, manifest=document, config=config)


def _descriptors(layers: Iterable[OciDescriptor]) -> tuple[Descriptor, ...]:
    """Return the layers of a manifest as descriptors."""
    return tuple(
        Descriptor(media_type=each["mediaType"], digest=each["digest"], size=each["size"]) for each in layers
    )
