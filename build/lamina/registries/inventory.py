"""The manifests in a repository, tagged or not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredManifest:
    """A manifest in a repository.

    Attributes:
        size: bytes, compressed.
        pushed: see `Inventory.says_when`; None when not known.
        media_type: of the manifest.
        artifact: the media type of its configuration, empty when not known.
        pulled: the time of the last pull; None when not known.
        subject: for signatures and attestations, the digest of the manifest they refer to.
    """

    digest: str
    tags: tuple[str, ...]
    size: int
    pushed: datetime | None
    media_type: str = ""
    artifact: str = ""
    subject: str | None = None
    pulled: datetime | None = None


class Inventory(Protocol):
    """The repositories of a registry, by their names below its address. Failures raise `RegistryError`."""

    @property
    def says_when(self) -> bool:
        """Whether `StoredManifest.pushed` is the push time; else it is the build time or None."""
        ...

    def stored(self, repository: str) -> tuple[StoredManifest, ...]:
        """Return the manifests of a repository; none when it does not exist."""
        ...

    def remove(self, repository: str, digests: Iterable[str]) -> Iterator[tuple[str, str | None]]:
        """Delete manifests with all their tags.

        Yield each digest once its result is known, with the reason if it was not deleted, else None. A
        missing manifest counts as deleted. Digests not yet requested when the iteration ends are left alone.
        """
        ...
