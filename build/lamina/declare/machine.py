"""Normalised platform names, and the platforms this machine can run natively or by emulation."""

from __future__ import annotations

import os
from pathlib import Path

from lamina.patterns import regex
from lamina.values import dataclass

_PARTS = ("PLATFORM", "OS", "ARCH", "VARIANT", "OSVERSION")
GLOBAL_ARGS = frozenset({"TARGETSTAGE", *(kind + part for kind in ("BUILD", "TARGET") for part in _PARTS)})
"""The build arguments that BuildKit declares before the first FROM."""
_BINFMT = Path("/proc/sys/fs/binfmt_misc")
OF_THE_IMAGE = "of the image"
"""The platform of a builder that has a machine for each platform, as CodeBuild does."""
SET_UP_QEMU = "docker run --privileged --rm tonistiigi/binfmt --install all"
_OURS = {"x86_64": "amd64", "aarch64": "arm64"}
_PART = regex(r"[A-Za-z0-9_.-]+")
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
"""Names that may stand alone. An architecture implies Linux; a system implies this machine's architecture."""


def normal_platform(text: str) -> str | None:
    """Return the normal form of a platform, as Docker compares it, or None if the text is not a platform.

    ``linux/x86_64`` and ``x86-64`` are ``linux/amd64``; ``linux/arm64/v8`` and ``aarch64`` are
    ``linux/arm64``. Source: https://github.com/containerd/platforms/blob/main/database.go
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


def platform_args(prefix: str, platform: str) -> dict[str, str]:
    """Return the predefined arguments of a platform. prefix: ``BUILD`` or ``TARGET``."""
    parts = [*platform.split("/"), "", ""]
    return {prefix + name: value for name, value in zip(_PARTS, (platform, *parts[:3], ""), strict=True)}


def family(platform: str) -> str:
    """Return a platform without its variant: ``linux/arm`` for ``linux/arm/v7``."""
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
    """The platform of a machine, such as ``linux/amd64``, and those that QEMU emulates on it."""

    platform: str
    emulates: frozenset[str] = frozenset()


def native_platform() -> str:
    """Return this machine's platform as BuildKit names it."""
    machine = os.uname().machine.lower()
    return "linux/" + _OURS.get(machine, machine)


def this_machine(binfmt: Path = _BINFMT) -> Machine:
    """Describe this machine. ``binfmt`` is the folder where Linux lists interpreters of foreign programs."""
    emulates = (f"linux/{_OURS[file.name.removeprefix('qemu-')]}" for file in _interpreters(binfmt))
    return Machine(platform=native_platform(), emulates=frozenset(emulates))


def _interpreters(binfmt: Path) -> list[Path]:
    """Return QEMU's enabled entries for the architectures that Lambda has."""
    found = (binfmt / f"qemu-{name}" for name in _OURS)
    return [file for file in found if file.is_file() and file.read_text().startswith("enabled")]
