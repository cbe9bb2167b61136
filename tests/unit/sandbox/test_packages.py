"""Choosing packages, and unpacking them without touching the system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lamina.errors import EngineError
from lamina.process import Command
from lamina.sandbox.packages import (
    GROUPS,
    Group,
    PackageCandidate,
    Prefix,
    choose,
    fetch,
    libc_needed,
    parse_madison,
    private_apt,
)
from lamina.sandbox.sources import AptSource

from .conftest import ScriptedRunner

SOURCE = AptSource(uri="http://m.test/debian", suite="bookworm", components=("main",))


def offer(name: str, suite: str, version: str = "1") -> PackageCandidate:
    return PackageCandidate(name=name, version=version, suite=suite)


def test_madison_lines_become_offers() -> None:
    text = (
        " docker.io | 28.5.2+dfsg4-5 | http://m.test/debian sid/main amd64 Packages\n"
        "runc | 1.1.5 | http://m.test/debian bookworm/main amd64 Packages\n"
        "N: an unrelated remark\n"
    )
    assert parse_madison(text) == (
        offer("docker.io", "sid", "28.5.2+dfsg4-5"),
        offer("runc", "bookworm", "1.1.5"),
    )


@pytest.mark.parametrize(
    ("depends", "expected"),
    [
        ("runc (>= 0.1.0~), libc6 (>= 2.34)", (2, 34)),
        ("libc6 (>= 2.9), libc6 (>= 2.38)", (2, 38)),
        ("libc6", ()),
        ("", ()),
    ],
)
def test_the_libc_a_package_needs(depends: str, expected: tuple[int, ...]) -> None:
    assert libc_needed(depends) == expected


class TestChoose:
    pair = Group(names=("a", "b"), suites=("sid", "trixie"))

    def test_a_group_comes_from_the_first_suite_that_has_all_of_it(self) -> None:
        offers = [offer("a", "sid", "9"), offer("a", "trixie"), offer("b", "trixie")]
        assert choose([self.pair], offers, "bookworm", lambda _: True) == (
            offer("a", "trixie"),
            offer("b", "trixie"),
        )

    def test_a_version_that_needs_a_newer_libc_is_passed_over(self) -> None:
        offers = [offer(name, suite) for name in "ab" for suite in ("sid", "trixie")]
        chosen = choose([self.pair], offers, "bookworm", lambda one: one.suite != "sid")
        assert {one.suite for one in chosen} == {"trixie"}

    def test_an_optional_group_may_be_missing(self) -> None:
        spare = Group(names=("libelf1t64",), suites=("release",), required=False)
        own = Group(names=("runc",), suites=("release",))
        assert choose([spare, own], [offer("runc", "bookworm")], "bookworm", lambda _: True) == (
            offer("runc", "bookworm"),
        )

    def test_everything_missing_is_named_at_once(self) -> None:
        with pytest.raises(EngineError, match=r"a, b \(sid or trixie\); c \(sid\)"):
            choose([self.pair, Group(names=("c",), suites=("sid",))], [], "bookworm", lambda _: True)


def test_private_apt_reads_and_writes_in_its_own_folder(tmp_path: Path) -> None:
    options = dict(word.split("=", 1) for word in private_apt(tmp_path)[1::2])
    for name in ("Dir::Etc::sourcelist", "Dir::State::Lists", "Dir::State::status", "Dir::Cache", "Dir::Log"):
        assert options[name].startswith(str(tmp_path))
    assert options["Dir::Etc::sourceparts"] == "-"


def test_fetch_downloads_chosen_versions_and_unpacks_them(tmp_path: Path, runner: ScriptedRunner) -> None:
    names = [name for group in GROUPS for name in group.names]
    shelf = [
        (name, group.suites[0].replace("release", "bookworm")) for group in GROUPS for name in group.names
    ]
    listing = "".join(
        f"{name} | 1.0 | http://m.test/debian {suite}/main amd64 Packages\n" for name, suite in shelf
    )
    control = "".join(
        f"Package: {name}\nVersion: 1.0\nDepends: libc6 (>= 2.2)\n\n"
        for name, suite in shelf
        if suite == "sid"
    )

    def download(command: Command) -> None:
        assert command.cwd is not None
        for wanted in command.argv[command.argv.index("download") + 1 :]:
            (command.cwd / f"{wanted.replace('=', '_')}_amd64.deb").touch()

    runner.expect("apt-get", "update")
    runner.expect("apt-cache", "madison", *names, stdout=listing)
    runner.expect("apt-cache", "show", "docker.io=1.0", "docker-buildx=1.0", stdout=control)
    runner.expect("apt-get", "download", "runc=1.0", effect=download)
    for _ in names:
        runner.expect("dpkg", "-x")
    assert fetch(runner, SOURCE, "amd64", tmp_path) == sorted(f"{name}=1.0" for name in names)
    assert not runner.steps
    sources = (tmp_path / "apt/lamina.sources").read_text()
    assert "Suites: bookworm sid trixie\n" in sources
    links = tmp_path / "tree/lamina/iptables-legacy"
    assert (links / "ip6tables-save").readlink() == Path("../../usr/sbin/xtables-legacy-multi")
    assert os.access(tmp_path / "tree/lamina/wget/wget", os.X_OK)


def test_a_failure_of_apt_is_reported_in_its_words(tmp_path: Path, runner: ScriptedRunner) -> None:
    runner.expect("apt-get", "update", code=100, stderr="E: The repository is not signed.\n")
    with pytest.raises(EngineError, match="code 100: E: The repository is not signed"):
        fetch(runner, SOURCE, "amd64", tmp_path)


def test_own_programs_and_libraries_come_first() -> None:
    prefix = Prefix(path=Path("/c/p"), architecture="arm64", packages=())
    assert prefix.tool_environment["LD_LIBRARY_PATH"] == (
        "/c/p/usr/lib/aarch64-linux-gnu:/c/p/lib/aarch64-linux-gnu"
    )
    assert prefix.search_path(Path("/first")).split(":")[:3] == ["/first", "/c/p/usr/sbin", "/c/p/usr/bin"]
