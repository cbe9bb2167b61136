"""Keep the manifests and configurations of images made on this machine, for code changes to be appended.

They are a cache: each is used only if its digest is that of an image in the engine, and if the disk refuses
one, only speed is lost. Of an image that a builder made only its name is kept at first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import field
from pathlib import Path

from lamina.decide.append import EarlierImage
from lamina.files import read_json, write_json
from lamina.identify.fingerprint import content_tag
from lamina.identify.image import Image
from lamina.masks import Mask
from lamina.oci import OciConfig, OciManifest
from lamina.refs import Reference
from lamina.registries.base import sha256
from lamina.values import dataclass

KEPT = 20
"""Images kept under each name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptImage:
    """An image: where the engine has it, and its manifest and configuration, byte for byte.

    Raises ValueError, KeyError or TypeError if they are not those of one image.
    """

    ref: Reference
    raw: bytes = field(repr=False)
    raw_config: bytes = field(repr=False)
    image: EarlierImage = field(init=False, repr=False)

    def __post_init__(self) -> None:
        manifest: OciManifest = json.loads(self.raw)
        config: OciConfig = json.loads(self.raw_config)
        if manifest["config"]["digest"] != sha256(self.raw_config):
            raise ValueError("the configuration is that of another image")
        image = EarlierImage(digest=sha256(self.raw), manifest=manifest, config=config)
        object.__setattr__(self, "image", image)


def keep_image(state: Path, image: Image, code: str, kept: KeptImage, mask: Mask) -> None:
    """Keep an image under its content tag and a code tag, and delete the oldest ones of that name.

    image: it or a later one of that name. Of an image with a known secret in its documents only the name is
    kept.
    """
    document = {"ref": str(kept.ref)}
    if all(mask.hide_bytes(each) == each for each in (kept.raw, kept.raw_config)):
        document |= {"manifest": _text(kept.raw), "config": _text(kept.raw_config)}
    _write(_folder(state, image), content_tag(kept.image.fingerprint), code, document)


def note_image(state: Path, image: Image, code: str) -> None:
    """Keep the name of an image alone."""
    _write(_folder(state, image), image.tag, code, {"ref": str(image.ref)})


def newest_image(state: Path, image: Image, code: str) -> KeptImage | Reference | None:
    """Return the image, or its name, that was kept last under a code tag; None if there is none."""
    files = _newest_first(_folder(state, image), f"*.{code}.json")
    return next((each for each in map(_read, files) if each), None)


def kept_image(state: Path, image: Image, content: str) -> KeptImage | Reference | None:
    """Return the image, or its name, that was kept last under a content tag; None if there is none."""
    files = _newest_first(_folder(state, image), f"{content}.*.json")
    return next((each for each in map(_read, files) if each), None)


def _write(folder: Path, content: str, code: str, document: Mapping[str, str]) -> None:
    with suppress(OSError):
        write_json(folder / f"{content}.{code}.json", document)
        for each in _newest_first(folder, "*.json")[KEPT:]:
            each.unlink(missing_ok=True)


def _newest_first(folder: Path, pattern: str) -> list[Path]:
    """Return the files of a pattern, without those that another process deletes meanwhile."""

    def dated() -> Iterator[tuple[int, Path]]:
        for each in folder.glob(pattern):
            with suppress(OSError):
                yield each.stat().st_mtime_ns, each

    return [each for _, each in sorted(dated(), key=lambda item: item[0], reverse=True)]


def _read(file: Path) -> KeptImage | Reference | None:
    """Return the image in a file, or its name; None if it is damaged."""
    found = read_json(file)
    try:
        ref = Reference.parse(found["ref"])
        if "manifest" not in found:
            return ref
        return KeptImage(
            ref=ref,
            raw=found["manifest"].encode("utf-8", "surrogateescape"),
            raw_config=found["config"].encode("utf-8", "surrogateescape"),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _folder(state: Path, image: Image) -> Path:
    return state / "appends" / image.name
