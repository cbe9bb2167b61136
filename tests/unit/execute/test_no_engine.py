"""What is said when no engine answers: others that do, rights, and the command that installs one."""

from __future__ import annotations

import grp
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lamina.errors import EngineError
from lamina.execute.engine import find_engine
from lamina.execute.no_engine import by_ssh, denied, get_engine, other_engines, silent
from lamina.provider import NoProvider

from ..conftest import ScriptedRunner
from .test_docker_context import context


@pytest.fixture
def home() -> Iterator[Path]:
    """A home folder with a short path: that of a socket has at most 107 characters."""
    with TemporaryDirectory(prefix="home-") as folder:
        yield Path(folder)


@pytest.fixture
def listening(home: Path) -> Iterator[ExitStack]:
    with ExitStack() as sockets:
        yield sockets


def listen(sockets: ExitStack, path: Path) -> str:
    """Accept connections at a path; return its address."""
    path.parent.mkdir(parents=True)
    server = sockets.enter_context(closing(socket.socket(socket.AF_UNIX)))
    server.bind(str(path))
    server.listen()
    return f"unix://{path}"


def environment(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run"), "TMPDIR": str(home / "tmp")}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (".docker/run/docker.sock", "Docker Desktop"),
        (".docker/desktop/docker.sock", "Docker Desktop"),
        (".colima/second/docker.sock", "colima"),
        (".orbstack/run/docker.sock", "OrbStack"),
        (".rd/docker.sock", "Rancher Desktop"),
        (".lima/docker/sock/docker.sock", "Lima"),
        ("run/docker.sock", "rootless Docker"),
        ("run/podman/podman.sock", "Podman"),
        ("tmp/podman/podman-machine-default-api.sock", "Podman"),
    ],
)
def test_engines_at_known_places_are_named(home: Path, listening: ExitStack, path: str, name: str) -> None:
    host = listen(listening, home / path)

    (found,) = other_engines(environment(home))

    assert (found.name, found.host, found.command) == (name, host, f"export DOCKER_HOST={host}")


def test_the_context_of_an_engine_is_named_instead_of_its_socket(home: Path, listening: ExitStack) -> None:
    host = listen(listening, home / ".colima/default/docker.sock")
    context(home, "colima", host)
    context(home, "desktop-linux", f"unix://{home}/.docker/run/docker.sock")  # it does not run
    context(home, "far", "tcp://far:2375")

    (found,) = other_engines(environment(home))

    assert (found.name, found.command) == ("colima", "docker context use colima")


def test_a_socket_that_nothing_listens_on_is_no_engine(home: Path) -> None:
    with ExitStack() as sockets:
        listen(sockets, home / ".rd/docker.sock")
    (home / ".orbstack/run").mkdir(parents=True)
    (home / ".orbstack/run/docker.sock").touch()

    assert other_engines(environment(home)) == ()


def test_an_engine_that_answers_is_named_instead_of_a_way_to_install_one(
    home: Path, listening: ExitStack
) -> None:
    if Path("/var/run/docker.sock").exists():
        pytest.skip("this machine has Docker")
    env = environment(home)

    with pytest.raises(EngineError) as caught:
        find_engine(ScriptedRunner(), NoProvider(), env=env)
    first, last = caught.value.problems
    assert first.what.startswith("no Docker engine answers at unix:///var/run/docker.sock: ")
    assert (first.hint, last.hint) == (None, get_engine())

    host = listen(listening, home / ".colima/default/docker.sock")
    with pytest.raises(EngineError) as caught:
        find_engine(ScriptedRunner(), NoProvider(), env=env)
    first, last = caught.value.problems
    assert (last.what, last.hint) == (f"colima answers at {host}", f"export DOCKER_HOST={host}")


def refused(path: Path) -> EngineError:
    """What a call says on a socket that this user may not use."""
    error = EngineError.of(f"there is no Docker engine at unix://{path}: permission denied")
    error.__cause__ = PermissionError(13, "Permission denied")
    return silent(f"unix://{path}", error, chosen=False)


def test_without_rights_on_a_socket_the_group_is_named_that_has_them(home: Path) -> None:
    group = next(each for each in grp.getgrall() if each.gr_gid)
    path = home / "docker.sock"
    path.touch()
    os.chown(path, -1, group.gr_gid) if os.geteuid() == 0 else pytest.skip("needs root")

    path.chmod(0o660)
    said = str(refused(path))
    assert said.startswith(f"your user may not use the engine at unix://{path}\n  next: sudo usermod -aG ")
    assert f"-aG {group.gr_name} " in said

    path.chmod(0o600)
    assert "run as root" in str(refused(path))


def test_without_rights_on_roots_podman_ones_own_is_named() -> None:
    said = str(refused(Path("/nowhere/podman/podman.sock")))

    assert "systemctl --user enable --now podman.socket" in said
    assert f"DOCKER_HOST=unix:///run/user/{os.getuid()}/podman/podman.sock" in said


def test_an_engine_that_does_not_answer_is_not_one_that_refuses() -> None:
    error = EngineError.of("there is no Docker engine at unix:///none: connection refused")
    error.__cause__ = ConnectionRefusedError(111, "Connection refused")

    assert not denied(error)
    (problem,) = silent("unix:///none", error, chosen=True).problems
    assert problem.what == "no Docker engine answers at unix:///none: connection refused"
    assert "unset DOCKER_HOST" in str(problem.hint)


@pytest.mark.parametrize(
    ("platform", "release", "command"),
    [
        ("darwin", "24.1.0", "brew install --cask docker-desktop"),
        ("linux", "5.15.153.1-microsoft-standard-WSL2", "WSL integration"),
        ("linux", "6.1.0-28-amd64", "curl -fsSL https://get.docker.com | sudo sh"),
    ],
)
def test_each_platform_has_its_command(platform: str, release: str, command: str) -> None:
    assert command in get_engine(platform, release)


def test_an_engine_by_ssh_needs_a_package_or_a_forwarded_socket() -> None:
    (problem,) = by_ssh("ssh://me@far:2222", "Install paramiko package", paramiko=False).problems

    assert (
        problem.what == "the engine at ssh://me@far:2222 is not used: ssh needs the Python package paramiko"
    )
    assert problem.hint == (
        "python -m pip install paramiko, or without it: ssh -fNL $HOME/engine.sock:/var/run/docker.sock "
        "-p 2222 me@far && export DOCKER_HOST=unix://$HOME/engine.sock"
    )


def test_an_engine_that_ssh_does_not_reach_is_tried_by_hand() -> None:
    (problem,) = by_ssh("ssh://far", "timed out", paramiko=True).problems

    assert problem.what == "no Docker engine answers at ssh://far: timed out"
    assert problem.hint == "try: ssh far docker version"
