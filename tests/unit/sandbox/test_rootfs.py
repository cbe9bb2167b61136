"""What is taken out of the stand-in's file system before it is packed."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.errors import EngineError
from lamina.process import Command
from lamina.sandbox.packages import Prefix
from lamina.sandbox.rootfs import build_root, clean, platforms, site_folder, undated
from lamina.sandbox.sources import AptSource

from .conftest import ScriptedRunner

SOURCE = AptSource(
    uri="http://m.test/debian",
    suite="bookworm",
    components=("main",),
    trust=(("signed-by", "/usr/share/keyrings/ring.gpg"),),
)
PREFIX = Prefix(path=Path("/c/p"), architecture="amd64", packages=())


def fill(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")


def test_traces_of_the_machine_and_the_day_are_removed(tmp_path: Path) -> None:
    gone = (
        *("etc/apt/sources.list", "etc/apt/sources.list.d/a.sources", "etc/resolv.conf", "etc/hostname"),
        *("var/log/dpkg.log", "var/log/apt/term.log", "var/cache/ldconfig/aux-cache", "etc/passwd-"),
        *("var/lib/apt/lists/m.test_Packages", "var/lib/dpkg/status-old", "usr/share/man/man1/a.1.gz"),
        *("usr/share/doc/a/changelog.gz", "usr/lib/python3.13/EXTERNALLY-MANAGED"),
        *("usr/lib/python3.13/__pycache__/os.cpython-313.pyc", "usr/share/locale/de/a.mo"),
    )
    kept = (
        *("etc/passwd", "var/lib/dpkg/status", "usr/share/doc/a/copyright", "usr/lib/python3.13/os.py"),
        *("etc/ssl/certs/ca-certificates.crt",),
    )
    fill(tmp_path, *gone, *kept)
    (tmp_path / "etc/machine-id").write_text("1234")
    (tmp_path / "etc/shadow").write_text("root:*:20415:0:99999:7:::\n")
    clean(tmp_path)
    assert [name for name in gone if (tmp_path / name).exists()] == []
    assert [name for name in kept if not (tmp_path / name).exists()] == []
    assert (tmp_path / "etc/machine-id").read_text() == ""
    assert (tmp_path / "etc/shadow").read_text() == "root:*:1:0:99999:7:::\n"


def test_password_entries_lose_their_day() -> None:
    assert undated("a:!:123:0\nb:$y$j9T:9:0\nc:*::0\n") == "a:!:1:0\nb:$y$j9T:1:0\nc:*::0\n"


def test_wheels_are_asked_for_the_image_not_for_this_machine() -> None:
    assert platforms("arm64")[0] == "manylinux2014_aarch64"
    assert "manylinux_2_28_x86_64" in platforms("amd64")
    assert not any("2_4" in platform for platform in platforms("amd64"))


def test_building_runs_debootstrap_pip_and_the_compiler(tmp_path: Path, runner: ScriptedRunner) -> None:
    root = tmp_path / "root"

    def bootstrap(command: Command) -> None:
        assert command.env["DEBOOTSTRAP_DIR"] == "/c/p/usr/share/debootstrap"
        assert command.env["PATH"].startswith("/c/p/lamina/wget:")
        fill(root, "usr/bin/python3", "etc/apt/sources.list")

    def pip(command: Command) -> None:
        metadata = "awslambdaric-4.2.2.dist-info/METADATA"
        fill(site_folder(root, "3.13"), metadata)
        (site_folder(root, "3.13") / metadata).write_text("Name: AwsLambdaRic\nVersion: 4.2.2\n")

    runner.expect(
        "unshare",
        "--variant=minbase",
        "--arch=amd64",
        "--keyring=/usr/share/keyrings/ring.gpg",
        "trixie",
        "http://m.test/debian",
        "sid",
        effect=bootstrap,
    )
    runner.expect("pip", "install", "--only-binary=:all:", "--python-version=3.13", effect=pip)
    runner.expect("dpkg-query", stdout="zlib1g=1.3\nbash=5.2\n")
    runner.expect("chroot", "-B", "compileall", "unchecked-hash")
    said: list[str] = []
    packages = build_root(runner, PREFIX, SOURCE, root, suite="trixie", python="3.13", say=said.append)
    assert packages == ("awslambdaric=4.2.2", "bash=5.2", "zlib1g=1.3")
    assert not (root / "etc/apt/sources.list").exists()
    assert (root / "usr/bin/python").readlink() == Path("python3")
    assert (root / "lambda-entrypoint.sh").stat().st_mode & 0o777 == 0o755
    assert len(said) == 2


def test_the_log_of_debootstrap_is_shown(tmp_path: Path, runner: ScriptedRunner) -> None:
    fill(tmp_path, "debootstrap/debootstrap.log")
    (tmp_path / "debootstrap/debootstrap.log").write_text("E: no space left\n")
    runner.expect("unshare", code=1)
    with pytest.raises(EngineError, match="no space left"):
        build_root(runner, PREFIX, SOURCE, tmp_path, suite="trixie", python="3.13", say=lambda _: None)


def test_pip_without_a_fitting_wheel_is_reported(tmp_path: Path, runner: ScriptedRunner) -> None:
    runner.expect("unshare")
    runner.expect("pip", code=1, stderr="ERROR: No matching distribution found\n")
    with pytest.raises(EngineError, match="No matching distribution"):
        build_root(runner, PREFIX, SOURCE, tmp_path, suite="trixie", python="3.13", say=lambda _: None)
