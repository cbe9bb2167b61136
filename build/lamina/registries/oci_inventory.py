"""The inventory of any OCI registry: tagged manifests and those in tagged indexes, without push times."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from lamina.errors import RegistryError
from lamina.files import EPOCH
from lamina.parallel import gather
from lamina.refs import Reference
from lamina.registries.base import Manifest
from lamina.registries.inventory import StoredManifest
from lamina.registries.oci import OciRegistry

_THREADS = 16
_FIXED = datetime.fromtimestamp(EPOCH, UTC)  # reproducible images have this creation time or an earlier one


class OciInventory:
    """See `Inventory`. The OCI protocol cannot list untagged manifests."""

    says_when = False

    def __init__(self, registry: OciRegistry) -> None:
        self._registry = registry

    def stored(self, repository: str) -> tuple[StoredManifest, ...]:
        """See `Inventory.stored`. ``pushed`` is the creation time in the image's configuration, if any."""
        reference = self._reference(repository)
        tags: dict[str, list[str]] = defaultdict(list)
        found: dict[str, Manifest] = {}
        tagged = self._registry.manifests(reference.with_tag(tag) for tag in self._registry.tags(reference))
        for ref, manifest in tagged.items():
            if manifest is not None and ref.tag is not None:
                found[manifest.digest] = manifest
                tags[manifest.digest].append(ref.tag)
        listed = [each.digest for manifest in found.values() for each in manifest.manifests]
        children = self._registry.manifests(
            reference.with_digest(each) for each in listed if each not in found
        )
        found.update({each.digest: each for each in children.values() if each is not None})
        return tuple(
            gather(
                lambda each: self._stored(reference, each, tags[each.digest]),
                found.values(),
                threads=_THREADS,
            )
        )

    def remove(self, repository: str, digests: Iterable[str]) -> Iterator[tuple[str, str | None]]:
        """See `Inventory.remove`."""
        for digest in digests:
            try:
                self._registry.delete(self._reference(repository).with_digest(digest))
            except RegistryError as error:
                yield digest, error.problems[0].what
            else:
                yield digest, None

    def _reference(self, repository: str) -> Reference:
        return Reference.parse(f"{self._registry.address}/{repository}")

    def _stored(self, reference: Reference, manifest: Manifest, tags: list[str]) -> StoredManifest:
        return StoredManifest(
            digest=manifest.digest,
            tags=tuple(sorted(tags)),
            size=manifest.size,
            pushed=self._created(reference, manifest),
            media_type=manifest.media_type,
            artifact=manifest.config.media_type if manifest.config else "",
        )

    def _created(self, reference: Reference, manifest: Manifest) -> datetime | None:
        if manifest.config is None:
            return None
        sink = io.BytesIO()
        try:
            self._registry.blob(reference, manifest.config, sink)
            text = json.loads(sink.getvalue()).get("created")
            created = datetime.fromisoformat(str(text))
        except (RegistryError, ValueError, AttributeError):
            return None
        if created.tzinfo is None or created <= _FIXED:
            return None
        return created
