"""The documents of an image, as far as they are read: https://github.com/opencontainers/image-spec

Docker's own forms have the same keys. A builder may write null where a list or a table is empty.
"""

from __future__ import annotations

from typing import TypedDict


class OciPlatform(TypedDict, total=False):
    """A platform in an index."""

    os: str
    architecture: str
    variant: str


class OciDescriptor(TypedDict, total=False):
    """An entry of a manifest or an index. size: bytes as stored."""

    mediaType: str
    digest: str
    size: int
    platform: OciPlatform | None


class OciManifest(TypedDict, total=False):
    """A manifest, or an index: that has ``manifests`` in place of ``config`` and ``layers``."""

    schemaVersion: int
    mediaType: str
    config: OciDescriptor
    layers: list[OciDescriptor]
    manifests: list[OciDescriptor]
    subject: OciDescriptor
    annotations: dict[str, str] | None


class OciHistory(TypedDict, total=False):
    """One step of a build. empty_layer: whether it made no layer."""

    created: str
    created_by: str
    comment: str
    empty_layer: bool


class OciRootfs(TypedDict, total=False):
    """The layers, lowest first, by the digests of their unpacked bytes."""

    type: str
    diff_ids: list[str]


class OciSettings(TypedDict, total=False):
    """With which settings a container starts."""

    Cmd: list[str] | None
    Entrypoint: list[str] | None
    Env: list[str] | None
    Labels: dict[str, str] | None
    WorkingDir: str
    ArgsEscaped: bool


class OciConfig(TypedDict, total=False):
    """The configuration of an image."""

    created: str
    os: str
    architecture: str
    variant: str
    config: OciSettings
    rootfs: OciRootfs
    history: list[OciHistory]
