"""Flags of instructions (``--link``, ``--mount=…``) as BuildKit's own frontend takes them.

A frontend that a ``# syntax=`` line names may take others. ``--parents`` and ``--security`` came later to the
built-in one, which one an engine has is not known here: they pass.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence

from lamina.errors import meant

_SWITCHES = frozenset({"keep-git-dir", "link", "parents", "unpack"})
_REPEATED = frozenset({"device", "exclude", "mount", "parents"})
_FLAGS = {
    "ADD": ("checksum", "chmod", "chown", "exclude", "keep-git-dir", "link", "parents", "unpack"),
    "COPY": ("chmod", "chown", "exclude", "from", "link", "parents"),
    "FROM": ("platform",),
    "HEALTHCHECK": ("interval", "retries", "start-interval", "start-period", "timeout"),
    "RUN": ("device", "mount", "network", "security"),
}
_WITHOUT = frozenset({"ARG", "STOPSIGNAL"})
"""For these BuildKit takes ``--x`` as any other word."""
_NETWORKS = ("default", "host", "none")
_MOUNTS = ("bind", "cache", "secret", "ssh", "tmpfs")
# fmt: off
_MOUNT_KEYS = (
    "destination", "dst", "env", "from", "gid", "id", "mode", "readonly", "readwrite", "required", "ro", "rw",
    "sharing", "size", "source", "src", "target", "type", "uid",
)
# fmt: on
_SHARINGS = ("locked", "private", "shared")
_OCTAL = re.compile(r"0*[0-7]{1,4}")
_SYMBOLIC = re.compile(r"[ugoa]*[-+=].*")
_MODE = "an octal number up to 7777, or letters as chmod takes them: u=rwX,go=rX"


def flag_faults(name: str, flags: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What the frontend would refuse in an instruction's flags, each with what is allowed."""
    if name in _WITHOUT:
        return
    known = _FLAGS.get(name, ())
    seen = set()
    for flag in flags:
        key, given, value = flag.removeprefix("--").partition("=")
        if key not in known:
            allowed = ", ".join(f"--{each}" for each in known) or "no flags"
            near = meant(key.lower(), known, prefix="--")
            yield f"{name} has no flag --{key}{near}", f"{allowed}; others with a # syntax= line"
        elif key in seen and key not in _REPEATED:
            yield f"--{key} is given twice", "once"
        elif given:
            yield from _value_faults(key, value)
        elif key not in _SWITCHES:
            yield f"--{key} needs a value", f"--{key}=<value>"
        seen.add(key)


def mount_options(value: str) -> Iterator[tuple[str, str]]:
    """Key and value of each option of a ``--mount=``; an option without a value has an empty one."""
    for field in next(csv.reader([value]), []):
        key, _, given = field.partition("=")
        yield key.strip().lower(), given


def _value_faults(key: str, value: str) -> Iterator[tuple[str, str]]:
    """What holds a variable is known only later."""
    if "$" in value:
        return
    if key in _SWITCHES and value.lower() not in {"true", "false"}:
        yield f"--{key}={value} is no switch", f"--{key}, --{key}=true, --{key}=false"
    elif key == "chmod" and value and not (_OCTAL.fullmatch(value) or _SYMBOLIC.match(value)):
        yield f"--chmod={value} is no mode", _MODE
    elif key == "network" and value not in _NETWORKS:
        yield f"--network={value} is unknown", ", ".join(_NETWORKS)
    elif key == "mount":
        yield from _mount_faults(value)


def _mount_faults(value: str) -> Iterator[tuple[str, str]]:
    for key, given in mount_options(value):
        if key not in _MOUNT_KEYS:
            yield f"--mount has no option {key!r}", ", ".join(_MOUNT_KEYS)
        elif key == "type" and given.lower() not in _MOUNTS:
            yield f"--mount=type={given} is unknown", ", ".join(_MOUNTS)
        elif key == "sharing" and given.lower() not in _SHARINGS:
            yield f"--mount: sharing={given} is unknown", ", ".join(_SHARINGS)
