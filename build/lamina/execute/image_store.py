"""Image stores: the interface, a registry, and two stores as one. `engine_store` has the engine's."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import IO, Protocol

from lamina.decide.acceptance import MOST_BYTES, ImageFacts, refusals, unpacked_size
from lamina.decide.layers import steps
from lamina.decide.plan import FoundImage
from lamina.errors import BuildError, LaminaError
from lamina.identify.fingerprint import FINGERPRINT_KEY
from lamina.identify.image import Image
from lamina.oci import OciConfig
from lamina.parallel import gather
from lamina.refs import Reference
from lamina.registries.base import Descriptor, Manifest, Registry
from lamina.registries.content import Content

_PACKED = 10
"""An upper bound of the compression ratio of a layer."""
_TRAILER = 4
_THREADS = 8


class ImageStore(Protocol):
    """Images by reference: look them up, read them, tag them."""

    @property
    def name(self) -> str:
        """The name used in reasons: ``the engine``, ``registry example.com``."""
        ...

    def find(self, refs: Iterable[Reference]) -> Mapping[Reference, FoundImage]:
        """Return the images of those references that exist."""
        ...

    def retag(self, source: FoundImage, target: Reference) -> None:
        """Give an image another reference."""
        ...

    def fingerprint(self, ref: Reference) -> str | None:
        """Return the fingerprint that the image carries; None if it has none or does not exist."""
        ...

    def open(self, found: FoundImage) -> AbstractContextManager[Content]:
        """Open an image to read its files. Raises BuildError if it is gone or is an index."""
        ...

    def examine(self, images: Mapping[str, FoundImage]) -> Mapping[str, FoundImage]:
        """Return the same images, with missing layers added to `lost`."""
        ...

    def layers(self, found: FoundImage) -> tuple[tuple[str, int], ...]:
        """Return the layers, lowest first: digest and bytes as stored; empty if unknown."""
        ...

    def refusals(self, found: FoundImage, platform: str) -> tuple[str, ...]:
        """Return why Lambda would refuse an image for a platform; empty if that cannot be known."""
        ...

    def attested(self, indexes: Iterable[Reference]) -> Mapping[Reference, FoundImage]:
        """Return index -> the one image it lists; references that are not such an index are left out."""
        ...


class RegistryStore:
    """A registry's images. Looking up and retagging do not pull."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @property
    def name(self) -> str:
        """See `ImageStore.name`."""
        return f"registry {self._registry.address}"

    def find(self, refs: Iterable[Reference]) -> Mapping[Reference, FoundImage]:
        """See `ImageStore.find`. Sizes are compressed. Also checks that each configuration blob exists."""
        manifests = {ref: each for ref, each in self._registry.manifests(refs).items() if each is not None}
        lost = self._registry.lost({ref: (each.config,) for ref, each in manifests.items() if each.config})
        silent = [ref for ref, each in manifests.items() if not _fingerprint_of(each) and not lost.get(ref)]
        read = gather(lambda ref: self._label(ref, manifests[ref]), silent, threads=_THREADS)
        labels = dict(zip(silent, read, strict=True))
        return {
            ref: FoundImage(
                ref=ref,
                digest=manifest.digest,
                size=manifest.size,
                config=manifest.config.digest if manifest.config else None,
                fingerprint=_fingerprint_of(manifest) or labels.get(ref),
                lost=lost.get(ref, ()),
            )
            for ref, manifest in manifests.items()
        }

    def _label(self, ref: Reference, manifest: Manifest) -> str | None:
        """Read the fingerprint from the labels: without the containerd store no annotations are pushed."""
        if manifest.config is None:
            return None
        try:
            with self._blob(ref, manifest.config) as file:
                labels = (json.load(file).get("config") or {}).get("Labels") or {}
        except (ValueError, AttributeError):
            return None
        label = labels.get(FINGERPRINT_KEY)
        return label if isinstance(label, str) else None

    def retag(self, source: FoundImage, target: Reference) -> None:
        """See `ImageStore.retag`."""
        self._registry.retag(source.ref, target)

    def fingerprint(self, ref: Reference) -> str | None:
        """See `ImageStore.fingerprint`."""
        manifest = self._registry.manifest(ref)
        return (_fingerprint_of(manifest) or self._label(ref, manifest)) if manifest else None

    def examine(self, images: Mapping[str, FoundImage]) -> Mapping[str, FoundImage]:
        """See `ImageStore.examine`. Sends a request for each image and each of its layers, in parallel."""
        refs = {name: found.ref.with_digest(found.digest) for name, found in images.items()}
        manifests = self._registry.manifests(refs.values())
        lost = self._registry.lost({ref: each.layers for ref, each in manifests.items() if each is not None})
        return {
            name: replace(found, lost=tuple(dict.fromkeys((*found.lost, *lost.get(refs[name], ())))))
            for name, found in images.items()
        }

    def layers(self, found: FoundImage) -> tuple[tuple[str, int], ...]:
        """See `ImageStore.layers`. Sizes are compressed, as the registry stores them."""
        manifest = self._registry.manifest(found.ref.with_digest(found.digest))
        return tuple((layer.digest, layer.size) for layer in manifest.layers) if manifest else ()

    def refusals(self, found: FoundImage, platform: str) -> tuple[str, ...]:
        """See `ImageStore.refusals`. Unpacked sizes are read only if the image may be too large."""
        manifest, _, config = self._read(found)
        return self.refusals_of(found.ref, manifest, config, platform)

    def refusals_of(
        self, ref: Reference, manifest: Manifest, config: OciConfig, platform: str
    ) -> tuple[str, ...]:
        """Return the same as `refusals` for an image whose manifest and configuration are known."""
        facts = self._facts(ref, manifest, config, at_least=MOST_BYTES // _PACKED)
        return tuple(refusals(facts, platform))

    def candidate(self, found: FoundImage) -> ImageFacts:
        """Return the facts of an image. Raises BuildError if it is gone or is an index."""
        manifest, _, config = self._read(found)
        return self._facts(found.ref, manifest, config, at_least=0)

    def _facts(self, ref: Reference, manifest: Manifest, config: OciConfig, *, at_least: int) -> ImageFacts:
        """at_least: stored bytes from which the unpacked size is measured."""
        unpacked = 0
        if manifest.size >= at_least:
            layers = manifest.layers
            trailers = gather(
                lambda layer: self._registry.tail(ref, layer, _TRAILER), layers, threads=_THREADS
            )
            sizes = zip((layer.size for layer in layers), trailers, strict=True)
            unpacked = sum(unpacked_size(size, trailer) for size, trailer in sizes)
        return ImageFacts(
            media_type=manifest.media_type,
            config_type=manifest.config.media_type if manifest.config else "",
            layers=tuple(layer.media_type for layer in manifest.layers),
            config=config,
            unpacked=unpacked,
        )

    def attested(self, indexes: Iterable[Reference]) -> Mapping[Reference, FoundImage]:
        """See `ImageStore.attested`."""
        found = {}
        for index, manifest in self._registry.manifests(indexes).items():
            images = tuple(manifest.platforms.values()) if manifest else ()
            if len(images) == 1:
                ref = replace(index, digest=images[0].digest)
                found[index] = FoundImage(ref=ref, digest=images[0].digest)
        return found

    @contextmanager
    def open(self, found: FoundImage) -> Iterator[Content]:
        """See `ImageStore.open`. A layer is fetched only when it is read."""
        ref = found.ref.with_digest(found.digest)
        manifest, described, config = self._read(found)
        layers = tuple(partial(self._blob, ref, layer) for layer in manifest.layers)
        yield Content(
            config=config,
            digest=described.digest,
            layers=layers,
            annotations=manifest.annotations,
        )

    def _read(self, found: FoundImage) -> tuple[Manifest, Descriptor, OciConfig]:
        """Return the manifest of an image, the descriptor of its configuration, and the configuration."""
        ref = found.ref.with_digest(found.digest)
        manifest = self._registry.manifest(ref)
        if manifest is None or manifest.config is None:
            what = "is no longer there" if manifest is None else "is an index, not an image"
            raise BuildError.of(f"{ref} {what}", where=self.name, hint="run it again")
        with self._blob(ref, manifest.config) as file:
            return manifest, manifest.config, json.load(file)

    @contextmanager
    def _blob(self, ref: Reference, blob: Descriptor) -> Iterator[IO[bytes]]:
        with tempfile.TemporaryFile() as file:
            self._registry.blob(ref, blob, file)
            file.seek(0)
            yield file


class FallbackStore:
    """A store with a second one for missing images, which is made when first needed and may be None."""

    def __init__(self, first: ImageStore, second: Callable[[], ImageStore | None]) -> None:
        self._first = first
        self._make_second = second

    @property
    def name(self) -> str:
        """See `ImageStore.name`: of the stores that were asked."""
        asked = (self._first, *([self._second] if "_second" in vars(self) else []))
        return " or ".join(store.name for store in asked if store)

    def find(self, refs: Iterable[Reference]) -> Mapping[Reference, FoundImage]:
        """See `ImageStore.find`; the second is asked only for images missing or incomplete in the first."""
        wanted = list(refs)
        found = self._first.find(wanted)
        missing = [ref for ref in wanted if ref not in found or found[ref].lost]
        second = self._second if missing else None
        more = second.find(missing) if second else {}
        return {
            ref: replace(each, store=(second if second and ref in more else self._first).name)
            for ref, each in {**found, **more}.items()
        }

    def retag(self, source: FoundImage, target: Reference) -> None:
        """See `ImageStore.retag`; in the store that has the source."""
        if self._first.find([source.ref]):
            self._first.retag(source, target)
        elif second := self._second:
            second.retag(source, target)

    def fingerprint(self, ref: Reference) -> str | None:
        """See `ImageStore.fingerprint`."""
        second = self._second
        return self._first.fingerprint(ref) or (second.fingerprint(ref) if second else None)

    def examine(self, images: Mapping[str, FoundImage]) -> Mapping[str, FoundImage]:
        """See `ImageStore.examine`. If an image is incomplete in the first store, the second one's counts."""
        seen: dict[str, FoundImage] = {}
        for name, found in images.items():
            holder = self._holder(found)
            seen.update(holder.examine({name: found}))
            if seen[name].lost and holder is self._first and (second := self._second):
                seen[name] = second.find([found.ref]).get(found.ref, seen[name])
        return seen

    def layers(self, found: FoundImage) -> tuple[tuple[str, int], ...]:
        """See `ImageStore.layers`."""
        return self._holder(found).layers(found)

    def refusals(self, found: FoundImage, platform: str) -> tuple[str, ...]:
        """See `ImageStore.refusals`."""
        return self._holder(found).refusals(found, platform)

    def attested(self, indexes: Iterable[Reference]) -> Mapping[Reference, FoundImage]:
        """See `ImageStore.attested`."""
        return self._first.attested(indexes)

    def open(self, found: FoundImage) -> AbstractContextManager[Content]:
        """See `ImageStore.open`."""
        return self._holder(found).open(found)

    def _holder(self, found: FoundImage) -> ImageStore:
        first = self._first.find([found.ref]).get(found.ref)
        second = None if first and not first.lost else self._second
        return second or self._first

    @cached_property
    def _second(self) -> ImageStore | None:
        return self._make_second()


def find_images(store: ImageStore, images: Iterable[Image]) -> Mapping[str, FoundImage]:
    """Return the images that exist, complete and with the same fingerprint, by name."""
    wanted = {image.name: image for image in images}
    existing = store.find([image.ref for image in wanted.values()])
    return {
        name: existing[image.ref]
        for name, image in wanted.items()
        if image.ref in existing and existing[image.ref].is_image(image)
    }


def _fingerprint_of(manifest: Manifest) -> str | None:
    """Return the fingerprint that a manifest carries; None for an index, which is not the image itself."""
    return None if manifest.is_index else manifest.annotations.get(FINGERPRINT_KEY)


def split_layers(
    image: Image, found: FoundImage, store: ImageStore
) -> tuple[frozenset[str], Mapping[str, int]]:
    """Return the layers of an image's base, and those that its own instructions made: digest -> bytes.

    Both are empty if unknown: that does not fail a build.
    """
    own = len(steps(image.node, exact_base=False)) - 1
    try:
        layers = store.layers(found)
    except LaminaError:
        return frozenset(), {}
    first = max(0, len(layers) - own)
    return frozenset(digest for digest, _ in layers[:first]), dict(layers[first:])
