from __future__ import annotations

from pathlib import Path

import pytest

from lamina.declare.machine import native_platform, normal_platform, this_machine


def test_interpreters_that_are_switched_on_are_reported(tmp_path: Path) -> None:
    (tmp_path / "qemu-aarch64").write_text("enabled\ninterpreter /usr/bin/qemu-aarch64\n")
    (tmp_path / "qemu-x86_64").write_text("disabled\n")
    (tmp_path / "python3.11").write_text("enabled\n")

    assert this_machine(tmp_path).emulates == {"linux/arm64"}
    assert this_machine(tmp_path / "nowhere").emulates == frozenset()


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        *((each, "linux/amd64") for each in ("linux/amd64", "linux/x86_64", "linux/x86-64", "Linux/AMD64")),
        *((each, "linux/amd64") for each in ("amd64", "x86_64", "x86-64", "linux/amd64/v1")),
        *((each, "linux/arm64") for each in ("linux/arm64", "linux/aarch64", "linux/arm64/v8", "aarch64")),
        *((each, "linux/arm64") for each in ("arm64", "linux/aarch64/8")),
        ("linux/amd64/v2", "linux/amd64/v2"),
        ("linux/x86_64/V3", "linux/amd64/v3"),
        ("linux/arm64/v9", "linux/arm64/v9"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/i386", "linux/386"),
        ("windows/amd64", "windows/amd64"),
        ("linux", native_platform()),
        *((each, None) for each in ("", "mars", "linux/", "linux/a/b/c", "linux/am d64", "linux/*")),
    ],
)
def test_a_platform_has_one_name(written: str, normal: str | None) -> None:
    assert normal_platform(written) == normal
