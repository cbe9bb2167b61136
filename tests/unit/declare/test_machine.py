from __future__ import annotations

from pathlib import Path

from lamina.declare.machine import this_machine


def test_interpreters_that_are_switched_on_are_told(tmp_path: Path) -> None:
    (tmp_path / "qemu-aarch64").write_text("enabled\ninterpreter /usr/bin/qemu-aarch64\n")
    (tmp_path / "qemu-x86_64").write_text("disabled\n")
    (tmp_path / "python3.11").write_text("enabled\n")

    assert this_machine(tmp_path).emulates == {"linux/arm64"}
    assert this_machine(tmp_path / "nowhere").emulates == frozenset()
