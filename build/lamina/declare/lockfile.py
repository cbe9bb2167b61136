"""``lamina.lock``: the digests of the images that a project stands on but does not build."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lamina.errors import ConfigError

LOCK_FILE = "lamina.lock"
_SCHEMA = 1
_HEADER = "# The images this project stands on, by digest. Written by `invoke lock`; commit it.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One image: its name as Dockerfiles write it and the digest of what the name served.

    digest: of the index where there is one; BuildKit picks the platform. platforms: platform -> digest.
    """

    name: str
    digest: str
    platforms: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """All pins of a project, by name."""

    pins: Mapping[str, Pin] = field(default_factory=dict)

    def with_pin(self, pin: Pin) -> Lock:
        """The lock with a pin added or moved."""
        return replace(self, pins=dict(sorted({**self.pins, pin.name: pin}.items())))

    def render(self) -> str:
        """The file's text: stable order, one image a table."""
        parts = [_HEADER, f"schema = {_SCHEMA}\n"]
        for pin in self.pins.values():
            parts.append(f'\n[[image]]\nname = "{pin.name}"\ndigest = "{pin.digest}"\n')
            if pin.platforms:
                parts.append("[image.platforms]\n")
                parts += [f'"{name}" = "{digest}"\n' for name, digest in sorted(pin.platforms.items())]
        return "".join(parts)


def read_lock(root: Path) -> Lock:
    """The project's lock; an empty one when there is no file. Raises ConfigError when it is damaged."""
    file = root / LOCK_FILE
    try:
        document = tomllib.loads(file.read_text("utf-8"))
        if document["schema"] != _SCHEMA:
            raise ConfigError.of(
                f"schema {document['schema']} is not known to this version",
                where=LOCK_FILE,
                allowed=f"schema = {_SCHEMA}",
                hint="upgrade lamina",
            )
        pins = [
            Pin(name=each["name"], digest=each["digest"], platforms=each.get("platforms", {}))
            for each in document.get("image", [])
        ]
    except FileNotFoundError:
        return Lock()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ConfigError.of(
            f"is damaged: {error}",
            where=LOCK_FILE,
            hint="restore it from git, or delete it and `invoke lock`",
        ) from None
    return Lock(pins={pin.name: pin for pin in pins})
