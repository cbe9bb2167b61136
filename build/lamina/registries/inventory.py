"""What a repository holds, manifest by manifest, tagged or not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredManifest:
    """A manifest in a repository. size: bytes, compressed. pushed: when; None where nobody tells.

    media_type: of the manifest. artifact: the media type of its configuration, empty where not known.
    subject: the digest of what it is about, for signatures and attestations.
    """

    digest: str
    tags: tuple[str, ...]
    size: int
    pushed: datetime | None
    media_type: str = ""
    artifact: str = ""
    subject: str | None = None


class Inventory(Protocol):
    """The repositories of a registry, by their names below its address. Failures are `RegistryError`."""

    @property
    def says_when(self) -> bool:
        """Whether `StoredManifest.pushed` is when it was pushed; else when it was built, or unknown."""
        ...

    def stored(self, repository: str) -> tuple[StoredManifest, ...]:
        """All that a repository holds; nothing for one that does not exist."""
        ...

    def remove(self, repository: str, digests: Iterable[str]) -> Iterator[tuple[str, str | None]]:
        """Delete manifests with all their tags: each as soon as it is confirmed, and why it stays if it does.

        Absent is success. What was not asked for yet when the iteration ends is left as it is.
        """
        ...
