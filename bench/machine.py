"""The facts about the machine of a bench: figures mean little without them."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from lamina import __version__

_GIB = 1024**3


def facts(versions: Mapping[str, str]) -> Mapping[str, str]:
    """Return the machine's facts and versions. versions: of the engine's parts."""
    return {
        "system": _system(),
        "kernel": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "cpu": parse_model(_read("/proc/cpuinfo")) or platform.processor() or platform.machine(),
        "cpus": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / _GIB:.0f} GiB",
        **versions,
        "python": platform.python_version(),
        "lamina": __version__,
    }


def parse_model(cpuinfo: str) -> str | None:
    """Return the processor's name in ``/proc/cpuinfo``; None on arm64, where it is missing."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return " ".join(value.split())
    return None


def sentence(machine: Mapping[str, str]) -> str:
    """Return the facts in one line."""
    tools = ", ".join(
        f"{name} {machine[key]}"
        for key, name in (
            ("docker", "Docker"),
            ("buildx", "buildx"),
            ("buildkit", "BuildKit"),
            ("python", "Python"),
            ("lamina", "Lamina"),
        )
        if machine.get(key)
    )
    hardware = f"{machine.get('cpus', '?')} CPUs ({machine.get('cpu', '?')}), {machine.get('memory', '?')}"
    return f"{hardware}, {machine.get('system', '?')}, {machine.get('kernel', '?')}; {tools}"


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.platform(terse=True)


def _read(path: str) -> str:
    file = Path(path)
    return file.read_text() if file.is_file() else ""
