"""``lamina.lock``: the digests of the images that a project uses but does not build."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import field, replace
from pathlib import Path

from lamina.declare.machine import normal_platform
from lamina.errors import ConfigError, Problem
from lamina.patterns import regex
from lamina.refs import Reference
from lamina.values import dataclass

LOCK_FILE = "lamina.lock"
UV_LOCK = "uv.lock"
_SCHEMA = 1
_HEADER = "# The external images of this project, by digest. Written by `lamina lock`; commit it.\n"
_KEYS = ("name", "digest", "platforms")
_DIGEST = regex(r"sha256:[0-9a-f]{64}")
_PLATFORM = regex(r"[a-z0-9]+(/[a-z0-9_.]+){1,2}")
_A_DIGEST = "sha256: and 64 hexadecimal digits"
_ASSIGNED = regex(r"""["']?([^"'=]+?)["']?\s*=""")
_RESTORE = "restore it from git, or delete it and run invoke lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One image: its name as written in Dockerfiles, and its pinned digest.

    Attributes:
        digest: Of the index if there is one, else of the manifest.
        platforms: Platform -> digest of its manifest.
    """

    name: str
    digest: str
    platforms: Mapping[str, str] = field(default_factory=dict)

    def of(self, platform: str | None) -> str:
        """Return the digest that an image of this platform uses.

        It is the platform's own, so that changes of other platforms do not matter. It is the index's when
        the platform is unknown or not in the index.
        """
        if platform is not None:
            for name, digest in self.platforms.items():
                if normal_platform(name) == normal_platform(platform):
                    return digest
        return self.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """All pins of a project, by name."""

    pins: Mapping[str, Pin] = field(default_factory=dict)

    def with_pin(self, pin: Pin) -> Lock:
        """Return the lock with a pin added or replaced."""
        return replace(self, pins=dict(sorted({**self.pins, pin.name: pin}.items())))

    def without(self, names: Collection[str]) -> Lock:
        """Return the lock without some pins."""
        return replace(self, pins={name: pin for name, pin in self.pins.items() if name not in names})

    def render(self) -> str:
        """Return the file's text, in a stable order with one table per image."""
        parts = [_HEADER, f"schema = {_SCHEMA}\n"]
        for pin in self.pins.values():
            parts.append(f'\n[[image]]\nname = "{pin.name}"\ndigest = "{pin.digest}"\n')
            if pin.platforms:
                parts.append("[image.platforms]\n")
                parts += [f'"{name}" = "{digest}"\n' for name, digest in sorted(pin.platforms.items())]
        return "".join(parts)


def read_lock(root: Path) -> Lock | None:
    """Read the project's lock; None when there is no file. Raises ConfigError with every problem in it."""
    try:
        text = (root / LOCK_FILE).read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError.of(f"is damaged: {error}", where=LOCK_FILE, hint=_RESTORE) from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        where = f"{LOCK_FILE}:{found.group(1)}" if found else LOCK_FILE
        raise ConfigError.of(f"is damaged: {error}", where=where, hint=_RESTORE) from None
    ConfigError.check(_head_problems(document))
    lines = _Lines(text)
    tables = document.get("image", [])
    ConfigError.check(
        problem for index, table in enumerate(tables) for problem in _faults(index, table, lines)
    )
    ConfigError.check(_doubles([table["name"] for table in tables], lines))
    pins = [Pin(**table) for table in tables]
    return Lock(pins={pin.name: pin for pin in pins})


def _head_problems(document: Mapping[str, object]) -> Iterator[Problem]:
    """Yield problems of the file as a whole."""
    schema = document.get("schema")
    if schema != _SCHEMA or isinstance(schema, bool):
        yield Problem(
            what="schema is missing" if schema is None else f"schema {schema!r} is not known to this version",
            where=LOCK_FILE,
            allowed=f"schema = {_SCHEMA}",
            hint=_RESTORE if schema is None else "upgrade lamina",
        )
    images = document.get("image", [])
    if not isinstance(images, list) or not all(isinstance(each, dict) for each in images):
        yield Problem(
            what="image is not a list of tables", where=LOCK_FILE, allowed="[[image]]", hint=_RESTORE
        )
    for key in (each for each in document if each not in {"schema", "image"}):
        yield Problem(what=f"unknown key {key}", where=LOCK_FILE, allowed="schema, [[image]]", hint=_RESTORE)


def _faults(index: int, table: Mapping[str, object], lines: _Lines) -> Iterator[Problem]:
    """Yield problems of one ``[[image]]``."""
    for key in (each for each in _KEYS[:2] if not isinstance(table.get(each), str)):
        what = f"image.{key} is {table[key]!r}" if key in table else f"an image without {key}"
        yield Problem(what=what, where=lines.where(index, key), allowed=f'{key} = "..."', hint=_RESTORE)
    for key in (each for each in table if each not in _KEYS):
        where = lines.where(index, key)
        yield Problem(what=f"unknown key image.{key}", where=where, allowed=", ".join(_KEYS), hint=_RESTORE)
    name, digest, platforms = table.get("name"), table.get("digest"), table.get("platforms", {})
    if isinstance(name, str):
        try:
            pinned = Reference.parse(name).digest
        except ValueError as error:
            yield Problem(what=str(error), where=lines.where(index, "name"), hint=_RESTORE)
        else:
            if pinned:
                what = f"{name} includes its digest, so it does not need a lock"
                yield Problem(what=what, where=lines.where(index, "name"), hint=_RESTORE)
    if isinstance(digest, str) and not _DIGEST.fullmatch(digest):
        where = lines.where(index, "digest")
        yield Problem(what=f"{digest!r} is not a digest", where=where, allowed=_A_DIGEST, hint=_RESTORE)
    if not isinstance(platforms, dict):
        where = lines.where(index, "platforms")
        yield Problem(
            what=f"image.platforms is {platforms!r}", where=where, allowed="[image.platforms]", hint=_RESTORE
        )
        return
    for platform, value in platforms.items():
        where = lines.where(index, platform)
        if not _PLATFORM.fullmatch(platform):
            yield Problem(
                what=f"{platform!r} is not a platform", where=where, allowed="os/arch", hint=_RESTORE
            )
        if not isinstance(value, str) or not _DIGEST.fullmatch(value):
            yield Problem(what=f"{value!r} is not a digest", where=where, allowed=_A_DIGEST, hint=_RESTORE)


def _doubles(names: list[str], lines: _Lines) -> Iterator[Problem]:
    """Yield images that are listed twice, as can happen after a merge."""
    for index, name in enumerate(names):
        if name in names[:index]:
            first = lines.where(names.index(name), "name")
            yield Problem(
                what=f"{name} is listed twice, also at {first}",
                where=lines.where(index, "name"),
                hint="keep one of them, then run invoke lock --refresh",
            )


class _Lines:
    """The lines of the keys of each ``[[image]]``, as far as the file has the format that `render` writes."""

    def __init__(self, text: str) -> None:
        self._found: dict[tuple[int, str], int] = {}
        index = -1
        for number, line in enumerate(map(str.strip, text.splitlines()), start=1):
            if line.startswith("[[image]]"):
                index += 1
                self._found[index, ""] = number
            elif line.startswith("[image.platforms]"):
                self._found[index, "platforms"] = number
            elif assigned := _ASSIGNED.match(line):
                self._found[index, assigned.group(1)] = number

    def where(self, index: int, key: str) -> str:
        """Return ``lamina.lock:line`` of a key, or of its table when the key is missing."""
        line = self._found.get((index, key), self._found.get((index, "")))
        return f"{LOCK_FILE}:{line}" if line else LOCK_FILE
