"""The engine's own image store as an `ImageStore`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.decide.plan import FoundImage
from lamina.identify.fingerprint import FINGERPRINT_KEY
from lamina.refs import Reference
from lamina.registries.local import LocalStore

if TYPE_CHECKING:
    from lamina.registries.content import Content


class EngineStore:
    """The engine's own image store."""

    name = "the engine"

    def __init__(self, store: LocalStore, containerd: bool) -> None:
        self._store = store
        self._containerd = containerd

    def find(self, refs: Iterable[Reference]) -> Mapping[Reference, FoundImage]:
        """See `ImageStore.find`. Digests are of manifests; without the containerd store, image ids."""
        found: dict[Reference, FoundImage] = {}
        for ref, image in self._store.images(refs).items():
            if image is not None:
                digest = image.digest if self._containerd and image.digest else image.id
                config = image.config if self._containerd else image.id
                found[ref] = FoundImage(
                    ref=ref,
                    digest=digest,
                    size=image.size,
                    config=config,
                    fingerprint=image.labels.get(FINGERPRINT_KEY),
                )
        return found

    def retag(self, source: FoundImage, target: Reference) -> None:
        """See `ImageStore.retag`."""
        self._store.tag(source.ref, target)

    def fingerprint(self, ref: Reference) -> str | None:
        """See `ImageStore.fingerprint`."""
        image = self._store.images([ref])[ref]
        return image.labels.get(FINGERPRINT_KEY) if image else None

    def examine(self, images: Mapping[str, FoundImage]) -> Mapping[str, FoundImage]:
        """See `ImageStore.examine`. Returned unchanged: an engine has no images with missing layers."""
        return images

    def layers(self, found: FoundImage) -> tuple[tuple[str, int], ...]:
        """See `ImageStore.layers`. Sizes are unpacked, as the engine stores them."""
        return self._store.layers(found.ref)

    def refusals(self, found: FoundImage, platform: str) -> tuple[str, ...]:
        """See `ImageStore.refusals`. Always empty: Lambda gets only pushed images."""
        del found, platform
        return ()

    def attested(self, indexes: Iterable[Reference]) -> Mapping[Reference, FoundImage]:
        """See `ImageStore.attested`. Always empty: only a push makes attestations."""
        del indexes
        return {}

    @contextmanager
    def open(self, found: FoundImage) -> Iterator[Content]:
        """See `ImageStore.open`. The engine exports the whole image."""
        import tempfile

        from lamina.registries.content import open_archive

        with tempfile.TemporaryDirectory(prefix="lamina-") as folder:
            file = Path(folder) / "image.tar"
            self._store.save(found.ref, file)
            with open_archive(file) as content:
                yield content
