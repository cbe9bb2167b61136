"""Check flags of instructions (``--link``, ``--mount=…``) against BuildKit's built-in frontend.

A frontend named by a ``# syntax=`` line may accept other flags. ``--parents`` and ``--security`` are newer
than some built-in frontends. They are accepted because the engine's version is unknown here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lamina.errors import meant
from lamina.patterns import regex

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
"""In these instructions BuildKit reads ``--x`` as an ordinary word."""
_NETWORKS = ("default", "host", "none")
_MOUNTS = ("bind", "cache", "secret", "ssh", "tmpfs")
# fmt: off
_MOUNT_KEYS = (
    "destination", "dst", "env", "from", "gid", "id", "mode", "readonly", "readwrite", "required", "ro", "rw",
    "sharing", "size", "source", "src", "target", "type", "uid",
)
# fmt: on
_SHARINGS = ("locked", "private", "shared")
_OCTAL = regex(r"0*[0-7]{1,4}")
_SYMBOLIC = regex(r"[ugoa]*[-+=].*")
_MODE = "an octal number up to 7777, or letters as in chmod: u=rwX,go=rX"


def flag_faults(name: str, flags: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each flag that the frontend would refuse, with the allowed values."""
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
    """Yield key and value of each option of a ``--mount=``. The value is empty when there is none."""
    for field in _fields(value):
        key, _, given = field.partition("=")
        yield key.strip().lower(), given


def _fields(line: str) -> Sequence[str]:
    if not line or '"' in line or "\n" in line or "\r" in line:
        import csv  # most mounts have no quotes

        return next(csv.reader([line]), [])
    return line.split(",")


def _value_faults(key: str, value: str) -> Iterator[tuple[str, str]]:
    if "$" in value:  # unknown until the variable is expanded
        return
    if key in _SWITCHES and value.lower() not in {"true", "false"}:
        yield f"--{key}={value} is not a switch", f"--{key}, --{key}=true, --{key}=false"
    elif key == "chmod" and value and not (_OCTAL.fullmatch(value) or _SYMBOLIC.match(value)):
        yield f"--chmod={value} is not a file mode", _MODE
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
