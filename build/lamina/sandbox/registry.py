"""A registry on this machine's loopback, for local pushes."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from lamina.errors import EngineError, RegistryError
from lamina.files import locked, write_atomic
from lamina.process import Command, Runner
from lamina.provider import Say
from lamina.sandbox.daemon import ServerFiles, is_alive, stop, strays, tail, unmount, wait_until
from lamina.sandbox.engine import unsupported
from lamina.sandbox.network import check_netns, inside
from lamina.sandbox.packages import prefix

_LOOPBACK = "127.0.0.1"
_READY_SECONDS = 20.0
_LISTEN = "0A"  # TCP_LISTEN, as /proc/net/tcp writes it


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRegistry:
    """A running private registry.

    Attributes:
        address: ``127.0.0.1:<port>``, the host in image names.
        tls: whether it serves HTTPS.
        netns: the network namespace whose loopback it listens on, None for the machine's own.
    """

    name: str
    address: str
    pid: int
    tls: bool = False
    netns: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """A registry's settings, with absolute paths. The port is not part of them, since 0 means any."""

    htpasswd: str | None = None
    certificate: str | None = None
    key: str | None = None
    netns: str | None = None


def status(runner: Runner, name: str = "default") -> LocalRegistry | None:
    """Return the registry of this name if it listens. Starts no process."""
    del runner  # not needed: reads /proc
    files = ServerFiles.of("registry", name)
    state = files.read_state()
    if state is None or not is_alive(state["pid"], files.marker):
        return None
    port = listening_port(state["pid"])
    if port is None:
        return None
    settings = RegistrySettings(**state["settings"])
    return LocalRegistry(
        name=name,
        address=f"{_LOOPBACK}:{port}",
        pid=state["pid"],
        tls=settings.certificate is not None,
        netns=settings.netns,
    )


def up(
    runner: Runner,
    *,
    name: str = "default",
    port: int = 5000,
    htpasswd: Path | None = None,
    tls: tuple[Path, Path] | None = None,
    netns: str | None = None,
    say: Say,
) -> LocalRegistry:
    """Return the registry of this name, starting it if needed.

    Args:
        runner: runs the commands.
        name: the name of the registry.
        port: the port to listen on; 0 for any free one.
        htpasswd: file of users, bcrypt only; None allows anonymous access.
        tls: certificate and key.
        netns: the network namespace to listen in.
        say: prints progress.

    Raises:
        EngineError: the machine does not support it.
        RegistryError: the port is in use, or the registry runs with other settings.
    """
    settings = RegistrySettings(
        htpasswd=str(htpasswd.absolute()) if htpasswd else None,
        certificate=str(tls[0].absolute()) if tls else None,
        key=str(tls[1].absolute()) if tls else None,
        netns=netns,
    )
    files = ServerFiles.of("registry", name)
    if found := _same_settings(runner, files, settings, port):
        return found
    if reason := unsupported():
        raise EngineError.of(reason, hint="run your own registry")
    check_netns(netns)
    for path in (*((htpasswd,) if htpasswd else ()), *(tls or ())):
        if not path.is_file():
            raise RegistryError.of(f"there is no file {path}")
    tools = prefix(runner, say)
    with locked(files.lock):
        if found := _same_settings(runner, files, settings, port):
            return found
        say(f"starting the local registry {name!r}")
        for stray in strays("docker-registry", files.marker):
            stop(stray, files.marker)
        files.make()
        config = render_config(settings, files.data / "storage", port)
        write_atomic(files.config, json.dumps(config, indent=2) + "\n")
        files.log.unlink(missing_ok=True)
        program = str(tools.path / "usr/bin/docker-registry")
        command = Command(
            argv=inside(netns, program, "serve", str(files.config)), env={"OTEL_TRACES_EXPORTER": "none"}
        )
        pid = runner.spawn(command, log=files.log)
        write_atomic(files.state, json.dumps({"pid": pid, "settings": asdict(settings)}))
        ready = wait_until(lambda: listening_port(pid) is not None, pid, files.marker, seconds=_READY_SECONDS)
        if ready is not None:
            files.state.unlink()
            raise _refusal(files, port, ready)
        started = status(runner, name)
    if started is None:
        raise RegistryError.of(f"the registry {name!r} has ended:\n{tail(files.log)}", where=str(files.log))
    return started


def down(runner: Runner, name: str = "default", *, purge: bool = False) -> None:
    """Stop the registry of this name; do nothing when there is none. purge: also remove its images."""
    files = ServerFiles.of("registry", name)
    if not files.runtime.exists() and not files.data.exists():
        return
    with locked(files.lock):
        if state := files.read_state():
            stop(state["pid"], files.marker)
        if files.runtime.exists():
            shutil.rmtree(files.runtime)
        if purge and files.data.exists():
            unmount(runner, files.data)
            shutil.rmtree(files.data)


def render_config(settings: RegistrySettings, storage: Path, port: int) -> dict[str, object]:
    """Return the registry's configuration. Keys: https://distribution.github.io/distribution/"""
    http: dict[str, object] = {"addr": f"{_LOOPBACK}:{port}"}
    if settings.certificate:
        http["tls"] = {"certificate": settings.certificate, "key": settings.key}
    config: dict[str, object] = {
        "version": "0.1",
        "log": {"level": "info"},
        "storage": {"filesystem": {"rootdirectory": str(storage)}, "delete": {"enabled": True}},
        "http": http,
    }
    if settings.htpasswd:
        config["auth"] = {"htpasswd": {"realm": "lamina", "path": settings.htpasswd}}
    return config


def listening_port(pid: int) -> int | None:
    """Return the TCP port that process ``pid`` listens on, in its network namespace; None without one."""
    folder = Path(f"/proc/{pid}")
    inodes: set[str] = set()
    try:
        for entry in (folder / "fd").iterdir():
            with suppress(FileNotFoundError):  # the process may close files meanwhile
                inodes.add(str(entry.readlink()).removeprefix("socket:[").removesuffix("]"))
        return parse_listening((folder / "net/tcp").read_text(), inodes)
    except OSError:
        return None


def parse_listening(table: str, inodes: set[str]) -> int | None:
    """Return the port of the first listening socket in ``/proc/<pid>/net/tcp`` with one of the inodes."""
    for line in table.splitlines()[1:]:
        words = line.split()
        if words[3] == _LISTEN and words[9] in inodes:
            return int(words[1].rpartition(":")[2], 16)
    return None


def _same_settings(
    runner: Runner, files: ServerFiles, settings: RegistrySettings, port: int
) -> LocalRegistry | None:
    found = status(runner, files.name)
    if found is None:
        return None
    state = files.read_state()
    other = state is not None and RegistrySettings(**state["settings"]) != settings
    if other or port not in (0, int(found.address.rpartition(":")[2])):
        raise RegistryError.of(
            f"the registry {files.name!r} already runs at {found.address} with other settings",
            hint="stop it first, or choose another name",
        )
    return found


def _refusal(files: ServerFiles, port: int, trouble: str) -> RegistryError:
    words = tail(files.log)
    if "address already in use" in words:
        return RegistryError.of(
            f"port {port} of {_LOOPBACK} is in use by another program",
            hint="--port NUMBER takes another one, --port 0 any free one",
        )
    return RegistryError.of(f"the local registry {files.name!r} {trouble}:\n{words}", where=str(files.log))
