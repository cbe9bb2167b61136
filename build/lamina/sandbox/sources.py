"""The machine's package mirror, read from its apt sources. Only the suite is changed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lamina.errors import EngineError

# apt's names of releases other than code names.
_ALIASES = ("stable", "testing", "unstable", "sid", "oldstable", "oldoldstable")
_TRUST = ("signed-by", "trusted", "check-valid-until")
_ONE_LINE = re.compile(
    r"deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>[^\s\[]\S*)\s+(?P<suite>\S+)\s+(?P<rest>.+)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AptSource:
    """A mirror and suite in apt's sources, with the fields that make apt trust it.

    trust: pairs of a deb822 field name in lower case and its value, which may be a multi-line inline key.
    """

    uri: str
    suite: str
    components: tuple[str, ...]
    trust: tuple[tuple[str, str], ...] = ()

    def keyring(self) -> Path | None:
        """Return the mirror's keyring file; None for an inline key or apt's default keyrings."""
        value = dict(self.trust).get("signed-by", "").strip()
        return Path(value) if value.startswith("/") and "\n" not in value else None


def parse_deb822(text: str) -> tuple[AptSource, ...]:
    """Parse a ``*.sources`` file. Format: sources.list(5), deb822(5)."""
    return tuple(source for stanza in paragraphs(text) for source in _expand(stanza))


def paragraphs(text: str) -> Iterator[dict[str, str]]:
    """Yield paragraphs of deb822 fields, names in lower case. Continuation lines keep their indentation."""
    fields: dict[str, str] = {}
    last = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if fields:
                yield fields
            fields, last = {}, ""
        elif line[0] in " \t":
            if last:
                fields[last] += "\n" + line
        else:
            name, _, value = line.partition(":")
            last = name.strip().lower()
            fields[last] = value.strip()


def parse_one_line(text: str) -> tuple[AptSource, ...]:
    """Parse a ``sources.list`` file. Format: sources.list(5)."""
    found: list[AptSource] = []
    for line in text.splitlines():
        match = _ONE_LINE.fullmatch(line.split("#", 1)[0].strip())
        if not match:
            continue
        options = dict(
            pair.split("=", 1) for pair in shlex.split(match["options"] or "") if "=" in pair.strip("=")
        )
        found.append(
            AptSource(
                uri=match["uri"],
                suite=match["suite"],
                components=tuple(match["rest"].split()),
                trust=_trust({name.lower(): value for name, value in options.items()}),
            )
        )
    return tuple(found)


def read_sources(etc: Path = Path("/etc/apt")) -> tuple[AptSource, ...]:
    """Return every binary source of the machine, in apt's order of files."""
    found: list[AptSource] = []
    main = etc / "sources.list"
    if main.is_file():
        found.extend(parse_one_line(main.read_text()))
    for path in sorted((etc / "sources.list.d").glob("*")):
        if path.suffix == ".list":
            found.extend(parse_one_line(path.read_text()))
        elif path.suffix == ".sources":
            found.extend(parse_deb822(path.read_text()))
    return tuple(found)


def parse_os_release(text: str) -> dict[str, str]:
    """Parse ``/etc/os-release``. Format: os-release(5)."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): "".join(shlex.split(value)) for name, value in pairs}


def unsuitable(release: Mapping[str, str]) -> str | None:
    """Return why packages cannot come from this distribution's mirror; None when they can."""
    if release.get("ID") == "debian":
        return None
    name = release.get("PRETTY_NAME") or release.get("ID") or "an unknown system"
    return f"this is {name}; the private engine is made of Debian's packages"


def pick_source(sources: Iterable[AptSource], release: Mapping[str, str]) -> AptSource:
    """Return the mirror of the release that this machine runs. Raises EngineError when there is none."""
    if reason := unsuitable(release):
        raise EngineError.of(reason, where="/etc/os-release", hint=_OWN_ENGINE)
    wanted = (release.get("VERSION_CODENAME", ""), *_ALIASES)
    usable = [
        source for source in sources if "main" in source.components and not source.uri.startswith("cdrom:")
    ]
    for suite in wanted:
        for source in usable:
            if source.suite == suite:
                return source
    raise EngineError.of(
        f"no apt source serves {wanted[0] or 'this release'} main",
        where="/etc/apt",
        allowed="a mirror of Debian in sources.list or in sources.list.d",
        hint=_OWN_ENGINE,
    )


def render_sources(source: AptSource, suites: Iterable[str], architecture: str) -> str:
    """Return a deb822 file for the same mirror and trust, with other suites."""
    fields = [
        "Types: deb",
        f"URIs: {source.uri}",
        f"Suites: {' '.join(dict.fromkeys(suites))}",
        "Components: main",
        f"Architectures: {architecture}",
        *(f"{name}: {value}" for name, value in source.trust),
    ]
    return "\n".join(fields) + "\n"


_OWN_ENGINE = "install Docker Engine 28 or newer with buildx 0.29 or newer, or set DOCKER_HOST"


def _expand(stanza: Mapping[str, str]) -> Iterator[AptSource]:
    if "deb" not in stanza.get("types", "").split() or stanza.get("enabled", "yes").lower() in {
        "no",
        "false",
    }:
        return
    for uri in stanza.get("uris", "").split():
        for suite in stanza.get("suites", "").split():
            yield AptSource(
                uri=uri,
                suite=suite,
                components=tuple(stanza.get("components", "").split()),
                trust=_trust(stanza),
            )


def _trust(fields: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, fields[name]) for name in _TRUST if fields.get(name))
