"""The bench for real: a metered engine, two variants, a few small functions; and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from projects import ROOT

import lamina
from lamina.process import Command, SubprocessRunner
from lamina.sandbox import namespace, registry, running

pytestmark = [pytest.mark.engine, pytest.mark.nightly]


def start(out: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench", "--out", str(out), *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(Path(lamina.__file__).parents[1]), "CI": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def links() -> set[str]:
    """The network links and namespaces of this machine."""
    runner = SubprocessRunner()
    listed = (runner.run(Command(argv=("ip", *words))).stdout for words in (("-br", "link"), ("netns",)))
    return {line.split("@")[0].split()[0] for text in listed for line in text.splitlines()}


def nothing_runs() -> bool:
    runner = SubprocessRunner()
    return running.status(runner, "bench") is None and registry.status(runner, "bench") is None


def test_small_functions_are_measured_in_seconds_and_bytes(tmp_path: Path) -> None:
    bench = start(
        tmp_path,
        *("--case", "scale-10", "--case", "scale-10-edit", "--variant", "bake", "--variant", "lamina"),
        *("--times", "1"),
    )
    said, complained = bench.communicate()

    assert bench.returncode == 0, said + complained
    document = json.loads((tmp_path / "bench.json").read_text())
    rows: dict[tuple[str, str], dict[str, Any]] = {
        (row["case"], row["variant"]): row for row in document["rows"]
    }
    assert len(rows) == 4
    assert document["bytes_not_counted"] is None
    assert {"cpus", "memory", "kernel", "docker", "buildx", "python", "lamina"} <= set(document["machine"])
    for (case, variant), row in rows.items():
        assert row["seconds"]["min"] > 0
        assert row["images_total"] == 10
        assert row["images_built"] == (1 if case.endswith("-edit") else 0), (case, variant)
        assert row["bytes_internet"] < 1000, "nothing is installed: nothing comes from the internet"
        assert row["bytes_registry"] > 1000, "the registry is asked in every case"
    assert rows["scale-10", "lamina"]["steps_total"] == 0
    assert rows["scale-10", "bake"]["steps_total"] >= 10
    assert "| `scale-10` |" in (tmp_path / "bench.md").read_text()
    assert nothing_runs()


def test_a_stopped_bench_keeps_its_results_and_stops_its_engine(tmp_path: Path) -> None:
    before = links()
    bench = start(tmp_path, "--case", "scale-10", "--case", "scale-50", "--variant", "lamina", "--times", "1")
    assert bench.stdout is not None
    said = (line.strip() for line in bench.stdout)
    assert "lamina: scale-50" in said, "the next case has begun"
    bench.send_signal(signal.SIGINT)
    _, complained = bench.communicate()

    assert bench.returncode == 130, complained
    assert "stopped" in complained
    assert "Traceback" not in complained
    rows = json.loads((tmp_path / "bench.json").read_text())["rows"]
    assert [(row["case"], row["not_run"]) for row in rows] == [("scale-10", None)]
    assert nothing_runs()
    ours = {name for name in links() - before if namespace.identity("bench") in name}
    assert ours == set()
