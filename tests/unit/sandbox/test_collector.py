from __future__ import annotations

import os
import tomllib
from pathlib import Path

from lamina.sandbox.collector import render_config, write_containerd


def test_garbage_is_collected_by_command_and_rarely_otherwise() -> None:
    config = tomllib.loads(render_config(Path('/run/x "y"/containerd.toml')))

    assert config["imports"] == ['/run/x "y"/containerd.toml']
    scheduler = config["plugins"]["io.containerd.gc.v1.scheduler"]
    assert 0 < scheduler["pause_threshold"] <= 0.000001, "0 would be once a second"
    assert scheduler["mutation_threshold"] == 0


def test_the_daemon_finds_a_containerd_that_runs_the_real_one(tmp_path: Path) -> None:
    generated = tmp_path / "run/containerd/containerd.toml"

    folder = write_containerd(tmp_path / "my bin", Path("/a b/containerd"), generated=generated)

    script = folder / "containerd"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-2:] == [
        "shift 2",
        f"exec '/a b/containerd' --config {generated.with_name('lamina.toml')} \"$@\"",
    ]
    assert generated.with_name("lamina.toml").read_text() == render_config(generated)
