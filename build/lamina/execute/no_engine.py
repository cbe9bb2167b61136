"""Why no Docker engine answers, and the one command that helps. Imported only when none does."""

from __future__ import annotations

import os
import re
import shlex
import socket
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from lamina.errors import EngineError, Problem
from lamina.execute.docker_context import contexts
from lamina.registries.engine_socket import UNIX

_Places = tuple[tuple[str, str], ...]
"""Pairs of an engine and a pattern of its socket's path."""
_SSH = "ssh://"
_SSH_TARGET = re.compile(r"([^/]+?)(?::(\d+))?(?:/|$)")
_KNOCK_SECONDS = 1.0
_HOME: _Places = (
    ("Docker Desktop", ".docker/run/docker.sock"),
    ("Docker Desktop", ".docker/desktop/docker.sock"),
    ("colima", ".colima/*/docker.sock"),
    ("colima", ".config/colima/*/docker.sock"),
    ("OrbStack", ".orbstack/run/docker.sock"),
    ("Rancher Desktop", ".rd/docker.sock"),
    ("Lima", ".lima/*/sock/docker.sock"),
    ("Podman", ".local/share/containers/podman/machine/*.sock"),
    ("Podman", ".local/share/containers/podman/machine/*/podman.sock"),
)
"""Where engines put their sockets below the home folder; docs/engine.md has the sources."""
_MACHINE: _Places = (
    ("Podman", "/run/podman/podman.sock"),
    ("Finch", "/run/finch.sock"),
    ("Finch", "/Applications/Finch/lima/data/finch/sock/finch.sock"),
)
_RUNTIME: _Places = (("rootless Docker", "docker.sock"), ("Podman", "podman/podman.sock"))
"""Below XDG_RUNTIME_DIR."""
_TEMPORARY: _Places = (("Podman", "podman/*-api.sock"),)
"""Below TMPDIR: of ``podman machine`` on macOS."""
_DOCS = "https://docs.docker.com/engine/install/"


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherEngine:
    """An engine that answers and was not chosen. command: what chooses it."""

    name: str
    host: str
    command: str


def silent(host: str, error: BaseException, *, chosen: bool) -> EngineError:
    """Return the error for an engine that does not answer.

    error: of the first call. chosen: whether the user chose the engine.
    """
    if denied(error):
        return EngineError.of(f"your user may not use the engine at {host}", hint=_permission(host))
    if host.startswith(_SSH):
        return by_ssh(host, _innermost(error), paramiko=find_spec("paramiko") is not None)
    hint = "start it, or unset DOCKER_HOST and DOCKER_CONTEXT to use the default one" if chosen else None
    return EngineError.of(f"no Docker engine answers at {host}: {_innermost(error)}", hint=hint)


def by_ssh(host: str, reason: str, *, paramiko: bool) -> EngineError:
    """Return the error for an engine of another machine that ssh does not reach.

    reason: as docker-py gives it. paramiko: whether that package is installed, which docker-py needs for ssh.
    """
    found = _SSH_TARGET.match(host.removeprefix(_SSH))
    name, port = found.groups() if found else (host, None)
    there = shlex.join([*(("-p", port) if port else ()), name])
    if paramiko:
        return EngineError.of(
            f"no Docker engine answers at {host}: {reason}", hint=f"try: ssh {there} docker version"
        )
    forward = f"ssh -fNL $HOME/engine.sock:/var/run/docker.sock {there}"
    return EngineError.of(
        f"the engine at {host} is not used: ssh needs the Python package paramiko",
        hint="python -m pip install paramiko, or without it: "
        f"{forward} && export DOCKER_HOST={UNIX}$HOME/engine.sock",
    )


def denied(error: BaseException) -> bool:
    """Whether an engine is there, and the operating system keeps this user from it."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, PermissionError):
        cause = cause.__cause__
    return cause is not None


def get_engine(platform: str = sys.platform, release: str | None = None) -> str:
    """Return the command that gives a machine an engine. release: the kernel's."""
    if platform == "darwin":
        return f"install Docker and start it: brew install --cask docker-desktop ({_DOCS})"
    command = f"curl -fsSL https://get.docker.com | sudo sh ({_DOCS})"
    if "microsoft" in (os.uname().release if release is None else release).lower():
        desktop = "turn on this distribution in Docker Desktop (Settings > Resources > WSL integration)"
        return f"{desktop}, or install Docker in it: {command}"
    return f"install Docker: {command}"


def other_engines(env: Mapping[str, str]) -> tuple[OtherEngine, ...]:
    """Return the engines of other contexts, and at other known places, that accept a connection."""
    found: dict[str, OtherEngine] = {}
    for context in contexts(env):
        path = Path(context.host.removeprefix(UNIX))
        if context.host.startswith(UNIX) and _accepts(path):
            command = f"docker context use {context.name}"
            where = str(path.resolve())
            found[where] = OtherEngine(name=context.name, host=context.host, command=command)
    for name, path in _places(env):
        where = str(path.resolve())
        if where not in found and _accepts(path):
            host = f"{UNIX}{path}"
            found[where] = OtherEngine(name=name, host=host, command=f"export DOCKER_HOST={host}")
    return tuple(found.values())


def name_others(env: Mapping[str, str]) -> tuple[Problem, ...]:
    """Return a problem for each engine that could be used instead."""
    return tuple(
        Problem(what=f"{each.name} answers at {each.host}", hint=each.command) for each in other_engines(env)
    )


def _places(env: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    home = Path(env.get("HOME") or Path.home())
    runtime = Path(env.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    below = [(home, _HOME), (Path("/"), _MACHINE), (runtime, _RUNTIME)]
    if temporary := env.get("TMPDIR"):
        below.append((Path(temporary), _TEMPORARY))
    for folder, places in below:
        for name, pattern in places:
            for path in sorted(folder.glob(pattern.lstrip("/"))):
                yield name, path


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as knock:
        knock.settimeout(_KNOCK_SECONDS)
        try:
            knock.connect(str(path))
        except OSError:
            return False
    return True


def _permission(host: str) -> str:
    """Return the command that lets this user use a socket."""
    path = Path(host.removeprefix(UNIX))
    group = _group_of(path)
    if group:
        return f"sudo usermod -aG {group} {_user()}, then log in again (or at once: newgrp {group})"
    if "podman" in host:
        own = f"{UNIX}/run/user/{os.getuid()}/podman/podman.sock"
        return f"systemctl --user enable --now podman.socket && export DOCKER_HOST={own}"
    return "run as root, or use an engine of your own: docker context ls"


def _group_of(path: Path) -> str | None:
    """Return the group that may use a socket; None if there is none, or only root's."""
    import grp

    try:
        found = path.stat()
        name = grp.getgrgid(found.st_gid).gr_name
    except (OSError, KeyError):
        return None
    return name if found.st_gid and found.st_mode & stat.S_IWGRP else None


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return "$USER"


def _innermost(error: BaseException) -> str:
    """Return the operating system's message inside nested errors."""
    if isinstance(error, EngineError):
        return error.problems[0].what.rpartition(": ")[2]
    found = re.search(r"(FileNotFoundError|ConnectionRefusedError)\(\d+, '([^']+)'\)", str(error))
    return found.group(2) if found else str(error)
