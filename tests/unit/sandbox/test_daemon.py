"""Servers are found again, and strangers are left alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from lamina.errors import EngineError
from lamina.process import Command, SubprocessRunner
from lamina.sandbox.daemon import ServerFiles, is_alive, read_pid, stop, strays, tail, unmount, wait_until

from .conftest import ScriptedRunner

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc and pidfd are Linux")

NOBODY = 2**22 + 1  # above the kernel's largest process id


def test_places_differ_by_cache_kind_and_name(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {ServerFiles.of(kind, name).identity for kind in ("engine", "registry") for name in ("a", "b")}
    monkeypatch.setenv("LAMINA_CACHE", str(tmp_path / "other"))
    assert len({*here, ServerFiles.of("engine", "a").identity}) == 5


def test_the_socket_path_is_short_however_deep_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMINA_CACHE", str(tmp_path / ("x" * 200)))
    assert len(str(ServerFiles.of("engine", "n" * 60).runtime / "docker.sock")) < 108


@pytest.mark.parametrize("name", ["", "../up", "A", "a/b", "-a", "x" * 70])
def test_a_name_must_be_a_file_name(name: str) -> None:
    with pytest.raises(EngineError, match="is not a valid name for the engine"):
        ServerFiles.of("engine", name)


def test_a_process_is_known_by_number_and_command_line() -> None:
    own = Path("/proc/self/cmdline").read_bytes().split(b"\0")[0].decode()
    assert is_alive(os.getpid(), own)
    assert not is_alive(os.getpid(), "/run/lamina/nothing-of-ours")
    assert not is_alive(NOBODY, "")


def test_a_stranger_is_never_signalled() -> None:
    stop(os.getpid(), "/run/lamina/nothing-of-ours")
    stop(NOBODY, "anything")


def test_our_own_process_is_stopped(tmp_path: Path) -> None:
    marker = str(tmp_path / "marker")
    runner = SubprocessRunner()
    program = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)", marker)
    pid = runner.spawn(Command(argv=program), log=tmp_path / "log")
    assert wait_until(lambda: "up" in tail(tmp_path / "log"), pid, marker, seconds=20) is None
    assert list(strays(Path(sys.executable).name, marker)) == [pid]
    assert list(strays("containerd", marker)) == []
    stop(pid, marker)
    assert not is_alive(pid, marker)


def test_a_process_that_ended_is_reported(tmp_path: Path) -> None:
    assert wait_until(lambda: False, NOBODY, str(tmp_path), seconds=5) == "ended at once"


def test_waiting_has_an_end() -> None:
    own = Path("/proc/self/cmdline").read_bytes().split(b"\0")[0].decode()
    # The marker is ours but the process must survive the stop: a marker that only the first look sees.
    assert is_alive(os.getpid(), own)
    assert wait_until(lambda: False, NOBODY, "x", seconds=0.05) == "does not answer after 0 s"


def test_pidfiles_may_be_missing_or_broken(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    assert read_pid(path) is None
    path.write_text("what\n")
    assert read_pid(path) is None
    path.write_text("12\n")
    assert read_pid(path) == 12


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert "no log" in tail(log)
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    assert tail(log).splitlines()[-1] == "  | line 99"
    assert len(tail(log).splitlines()) == 15


def test_nothing_is_unmounted_where_nothing_is_mounted(tmp_path: Path, runner: ScriptedRunner) -> None:
    unmount(runner, tmp_path)
    assert runner.seen == []
