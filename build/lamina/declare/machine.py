"""Platforms by their usual names; what this machine can run: its own platform, and others by emulation."""

from __future__ import annotations

import platform as host
import re
from dataclasses import dataclass
from pathlib import Path

_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_OURS = {"x86_64": "amd64", "aarch64": "arm64"}
_PART = re.compile(r"[A-Za-z0-9_.-]+")
_ALIASES = {"i386": ("386", ""), "x86-64": ("amd64", ""), "armhf": ("arm", "v7"), "armel": ("arm", "v6")}
# fmt: off
_ARCHITECTURES = frozenset({
    "386", "amd64", "amd64p32", "arm", "armbe", "arm64", "arm64be", "loong64", "mips", "mipsle", "mips64",
    "mips64le", "mips64p32", "mips64p32le", "ppc", "ppc64", "ppc64le", "riscv", "riscv64", "s390", "s390x",
    "sparc", "sparc64", "wasm",
})
_SYSTEMS = frozenset({
    "aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux", "nacl",
    "netbsd", "openbsd", "plan9", "solaris", "windows", "zos",
})
# fmt: on
"""What may stand alone: an architecture is of Linux, a system is of this machine's architecture."""


def normal_platform(text: str) -> str | None:
    """A platform by the one name that Docker compares it by; None for a text that is not a platform.

    ``linux/amd64`` of ``linux/x86_64`` and ``x86-64``, ``linux/arm64`` of ``linux/arm64/v8`` and ``aarch64``:
    https://github.com/containerd/platforms/blob/main/database.go
    """
    parts = text.split("/")
    if len(parts) > 3 or not all(map(_PART.fullmatch, parts)):
        return None
    if text.lower() in _SYSTEMS:
        return f"{text.lower()}/{native_platform().removeprefix('linux/')}"
    system, architecture, variant = [*(["linux", *parts] if len(parts) == 1 else parts), "", ""][:3]
    architecture, variant = _normal_architecture(architecture.lower(), variant.lower())
    if len(parts) == 1 and architecture not in _ARCHITECTURES:
        return None
    return "/".join(part for part in (system.lower(), architecture, variant) if part)


def family(platform: str) -> str:
    """Without the variant: ``linux/arm`` of ``linux/arm/v7``."""
    return "/".join(platform.split("/")[:2])


def _normal_architecture(name: str, variant: str) -> tuple[str, str]:
    if name in _ALIASES:
        return _ALIASES[name]
    name = _OURS.get(name, name)
    if (name, variant) in {("amd64", "v1"), ("arm64", "8"), ("arm64", "v8"), ("arm64", "v8.0")}:
        return name, ""
    if name == "arm":
        return name, f"v{variant.removeprefix('v') or 7}"
    return name, variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """platform: ``linux/amd64``. emulates: the platforms whose programs QEMU runs here."""

    platform: str
    emulates: frozenset[str] = frozenset()


def native_platform() -> str:
    """This machine's platform as BuildKit names it."""
    machine = host.machine().lower()
    return "linux/" + _OURS.get(machine, machine)


def this_machine(binfmt: Path = _BINFMT) -> Machine:
    """The machine at hand. binfmt: where Linux lists the interpreters of foreign programs."""
    emulates = (f"linux/{_OURS[file.name.removeprefix('qemu-')]}" for file in _interpreters(binfmt))
    return Machine(platform=native_platform(), emulates=frozenset(emulates))


def _interpreters(binfmt: Path) -> list[Path]:
    """QEMU's entries that are switched on, for architectures that Lambda has."""
    found = (binfmt / f"qemu-{name}" for name in _OURS)
    return [file for file in found if file.is_file() and file.read_text().startswith("enabled")]
