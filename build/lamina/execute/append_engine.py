"""Append images in an engine's own store: load an archive of what it does not have yet.

That takes the containerd image store, which keeps manifests and packed layers by digest: an archive may leave
out layers that the store has. The engine's API does not give the manifest of an image: it is kept, see
`kept_images`, or read once from BuildKit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from lamina.decide.append import EarlierImage, NeedsBuilderError
from lamina.decide.plan import FoundImage
from lamina.errors import EngineError
from lamina.execute.append import AppendedImage, AppendRequest
from lamina.execute.engine_store import EngineStore
from lamina.execute.kept_images import KeptImage, keep_image, kept_image, newest_image
from lamina.execute.layer_tar import plain_tar
from lamina.identify.code_copies import code_tag
from lamina.identify.fingerprint import content_tag
from lamina.identify.image import Image
from lamina.masks import Mask
from lamina.parallel import both, gather
from lamina.refs import Reference
from lamina.registries.base import OCI_INDEX, sha256
from lamina.registries.local import LocalStore

Read = Callable[[str], bytes | None]
_THREADS = 2
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_HUB, _OFFICIAL = "docker.io", "library/"


class EngineAppends:
    """See `AppendStore`. The engine has the containerd store.

    state: the project's state folder. images: all images of the project. read: reads a document of the
    engine's store by its digest; None if it cannot. mask: what is not written to a file.
    """

    name = "the engine"

    def __init__(
        self, store: LocalStore, state: Path, images: Mapping[str, Image], read: Read, mask: Mask
    ) -> None:
        self._local = store
        self._store = EngineStore(store, containerd=True)
        self._state = state
        self._images = images
        self._read = read
        self._mask = mask

    def earlier(self, images: Iterable[Image]) -> Mapping[str, EarlierImage]:
        """See `AppendStore.earlier`. Only images that the engine has completely count."""
        noted = [(image, newest_image(self._state, image, self._code_tag(image))) for image in images]
        kept = [(image, each) for image, each in noted if each is not None]
        found = self._store.find(_ref_of(each) for _, each in kept)

        def read(item: tuple[Image, KeptImage | Reference]) -> KeptImage | None:
            image, each = item
            there = found.get(_ref_of(each))
            return self._documents(image, each, there) if there else None

        documents = gather(read, kept, threads=_THREADS)
        return {image.name: each.image for (image, _), each in zip(kept, documents, strict=True) if each}

    def of_inputs(self, image: Image, fingerprint: str) -> EarlierImage | None:
        """See `AppendStore.of_inputs`."""
        kept = kept_image(self._state, image, content_tag(fingerprint))
        return kept.image if isinstance(kept, KeptImage) else None

    def base(self, image: Image, found: FoundImage) -> EarlierImage:
        """See `AppendStore.base`."""
        there = self._store.find([image.ref]).get(image.ref)
        read = None
        if there and there.digest == found.digest:
            kept = kept_image(self._state, image, image.tag)
            known = isinstance(kept, KeptImage) and _is(kept, there)
            read = self._documents(image, kept if known and kept else image.ref, there)
        if read is None:
            raise NeedsBuilderError(f"the manifest of its base {image.name} is not known")
        return read.image

    def _documents(self, image: Image, kept: KeptImage | Reference, found: FoundImage) -> KeptImage | None:
        """Return an image of the engine with its documents; None if they or its content are not all there.

        kept: under that name. An engine reports no labels of an image that lacks content.
        """
        if not found.fingerprint:
            return None
        if isinstance(kept, KeptImage):
            return kept if _is(kept, found) else None
        if kept.tag != content_tag(found.fingerprint):
            return None
        config = found.config or ""
        raw, raw_config = both(lambda: self._read(found.digest), lambda: self._read(config))
        try:
            read = KeptImage(ref=kept, raw=raw or b"", raw_config=raw_config or b"")
        except (ValueError, KeyError, TypeError):
            return None
        if not _is(read, found):
            return None
        keep_image(self._state, image, self._code_tag(image), read, self._mask)
        return read

    def put(self, request: AppendRequest, made: AppendedImage) -> AppendedImage:
        """See `AppendStore.put`."""
        ref = request.image.ref
        try:
            self._local.load(ref, archive(ref, made))
        except EngineError as error:
            raise NeedsBuilderError(error.problems[0].what) from error
        return made

    def confirm(self, image: Image, made: AppendedImage) -> FoundImage:
        """See `AppendStore.confirm`. An engine reports no labels of an image that lacks content."""
        found = self._store.find([image.ref]).get(image.ref)
        if found is None or not found.is_image(image):
            with suppress(EngineError):
                if found is not None and found.digest == made.stored.digest:
                    self._local.remove(image.ref)
            raise NeedsBuilderError("the engine has lost layers of the image before")
        if found.digest == made.stored.digest:  # else a run at the same time stored the same image
            kept = KeptImage(ref=image.ref, raw=made.stored.raw, raw_config=made.config)
            keep_image(self._state, image, self._code_tag(image), kept, self._mask)
        return found

    def own_layers(self, image: Image, made: AppendedImage, count: int) -> Mapping[str, int]:
        """See `AppendStore.own_layers`. Sizes are unpacked, as the engine stores them."""
        del made
        try:
            layers = self._local.layers(image.ref)
        except EngineError:
            return {}
        return dict(layers[max(0, len(layers) - count) :])

    def _code_tag(self, image: Image) -> str:
        return code_tag(image, self._images)


def _is(kept: KeptImage, found: FoundImage) -> bool:
    return kept.image.digest == found.digest and kept.image.fingerprint == found.fingerprint


def _ref_of(kept: KeptImage | Reference) -> Reference:
    return kept.ref if isinstance(kept, KeptImage) else kept


def archive(ref: Reference, made: AppendedImage) -> bytes:
    """Return an OCI layout with one image, without the layers that it takes from others.

    https://github.com/opencontainers/image-spec/blob/main/image-layout.md, with containerd's annotation for
    the name and BuildKit's for the digest of the configuration.
    """
    stored = made.stored
    index = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            {
                "mediaType": stored.media_type,
                "digest": stored.digest,
                "size": len(stored.raw),
                "annotations": {
                    "io.containerd.image.name": _full_name(ref),
                    "org.opencontainers.image.ref.name": ref.tag or "",
                    "config.digest": stored.config.digest if stored.config else "",
                },
            }
        ],
    }
    blobs = (*made.blobs, made.config, stored.raw)
    return plain_tar(
        {
            "oci-layout": _LAYOUT,
            **{f"blobs/{sha256(blob).replace(':', '/')}": blob for blob in blobs},
            "index.json": json.dumps(index).encode(),
        }
    )


def _full_name(ref: Reference) -> str:
    """Return a name as containerd has it: with the host, and ``library/`` for a bare one."""
    if ref.host not in {None, _HUB}:
        return str(ref)
    return f"{_HUB}/{'' if '/' in ref.repository else _OFFICIAL}{ref.repository}:{ref.tag}"
