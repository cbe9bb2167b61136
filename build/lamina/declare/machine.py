"""What this machine can run: its own platform, and others by emulation."""

from __future__ import annotations

import platform as host
from dataclasses import dataclass
from pathlib import Path

_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_OURS = {"x86_64": "amd64", "aarch64": "arm64"}


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
