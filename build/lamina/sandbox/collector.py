"""Keep containerd's garbage collection out of builds in a private engine.

containerd collects up to four times a second while anything is deleted, and a build deletes continuously:
leases, views, snapshots to unpack. Layers that an interrupted build had unpacked are collected during the
next one, and BuildKit does not hold all the snapshots it is about to use: "parent snapshot … does not exist".
https://github.com/moby/buildkit/issues/6521 and https://github.com/moby/buildkit/pull/6808
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from lamina.files import write_atomic

CONFIG = "lamina.toml"
_SCRIPT = """#!/bin/sh
# dockerd calls `containerd --config FILE` and writes FILE itself; the configuration here imports it.
shift 2
exec {containerd} --config {config} "$@"
"""


def write_containerd(folder: Path, containerd: Path, *, generated: Path) -> Path:
    """Write a ``containerd`` wrapper into a folder for the daemon's PATH, and return the folder.

    It collects garbage when the daemon starts and when a command deletes images or build cache.

    Args:
        folder: a folder from which programs may run, unlike /run on some machines.
        containerd: the real program.
        generated: the configuration that dockerd writes for it.
    """
    config, script = generated.with_name(CONFIG), folder / "containerd"
    for parent in (generated.parent, folder):
        parent.mkdir(parents=True, exist_ok=True)
    write_atomic(config, render_config(generated))
    quoted = {"containerd": shlex.quote(str(containerd)), "config": shlex.quote(str(config))}
    write_atomic(script, _SCRIPT.format_map(quoted))
    script.chmod(0o755)
    return folder


def render_config(generated: Path) -> str:
    """Return a configuration that imports the one that dockerd generates.

    ``pause_threshold`` is the share of time that collection may take. With its least duration of 5 ms it runs
    every 83 minutes. Keys: https://github.com/containerd/containerd/blob/main/plugins/gc/scheduler.go
    """
    return f"""version = 2
imports = [{json.dumps(str(generated))}]

[plugins."io.containerd.gc.v1.scheduler"]
pause_threshold = 0.000001
deletion_threshold = 1000000
mutation_threshold = 0
"""
