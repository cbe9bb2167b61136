"""A registry on this machine's loopback, for pushes that must not leave it."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from lamina.errors import EngineError, RegistryError
from lamina.files import write_atomic
from lamina.process import Command, Runner
from lamina.sandbox.cache import locked
from lamina.sandbox.daemon import ServerFiles, is_alive, stop, strays, tail, unmount, wait_until
from lamina.sandbox.engine import unsupported
from lamina.sandbox.network import check_netns, inside
from lamina.sandbox.packages import Say, prefix

_LOOPBACK = "127.0.0.1"
_READY_SECONDS = 20.0
_LISTEN = "0A"  # TCP_LISTEN, as /proc/net/tcp writes it


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRegistry:
    """A running registry of ours.

    address: ``127.0.0.1:<port>``, what an image's name begins with. tls: whether it speaks https.
    netns: the network namespace whose loopback it listens on, None for the machine's own.
    """

    name: str
    address: str
    pid: int
    tls: bool = False
    netns: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """How a registry was asked to run, with absolute paths; its port apart, for 0 is any."""

    htpasswd: str | None = None
    certificate: str | None = None
    key: str | None = None
    netns: str | None = None


def status(runner: Runner, name: str = "default") -> LocalRegistry | None:
    """The registry of this name if it listens. Starts no process."""
    del runner  # /proc is enough
    place = ServerFiles.of("registry", name)
    state = place.read_state()
    if state is None or not is_alive(state["pid"], place.marker):
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
    """The registry of this name, started if need be.

    port: 0 takes a free one. htpasswd: who may use it, bcrypt only; None for everybody.
    tls: certificate and key. netns: the network namespace to listen in.
    Raises RegistryError when the port is taken or the registry runs with other settings.
    """
    settings = RegistrySettings(
        htpasswd=str(htpasswd.absolute()) if htpasswd else None,
        certificate=str(tls[0].absolute()) if tls else None,
        key=str(tls[1].absolute()) if tls else None,
        netns=netns,
    )
    place = ServerFiles.of("registry", name)
    if found := _same_settings(runner, place, settings, port):
        return found
    if reason := unsupported():
        raise EngineError.of(reason, hint="run a registry of your own")
    check_netns(netns)
    for path in (*((htpasswd,) if htpasswd else ()), *(tls or ())):
        if not path.is_file():
            raise RegistryError.of(f"there is no file {path}")
    tools = prefix(runner, say)
    with locked(place.lock):
        if found := _same_settings(runner, place, settings, port):
            return found
        say(f"starting the local registry {name!r}")
        for stray in strays("docker-registry", place.marker):
            stop(stray, place.marker)
        place.make()
        config = render_config(settings, place.data / "storage", port)
        write_atomic(place.config, json.dumps(config, indent=2) + "\n")
        place.log.unlink(missing_ok=True)
        program = str(tools.path / "usr/bin/docker-registry")
        command = Command(
            argv=inside(netns, program, "serve", str(place.config)), env={"OTEL_TRACES_EXPORTER": "none"}
        )
        pid = runner.spawn(command, log=place.log)
        write_atomic(place.state, json.dumps({"pid": pid, "settings": asdict(settings)}))
        ready = wait_until(lambda: listening_port(pid) is not None, pid, place.marker, seconds=_READY_SECONDS)
        if ready is not None:
            place.state.unlink()
            raise _refusal(place, port, ready)
        started = status(runner, name)
    if started is None:
        raise RegistryError.of(f"the registry {name!r} went away:\n{tail(place.log)}", where=str(place.log))
    return started


def down(runner: Runner, name: str = "default", *, purge: bool = False) -> None:
    """Stop the registry of this name; nothing happens when there is none. purge: remove its images too."""
    place = ServerFiles.of("registry", name)
    if not place.runtime.exists() and not place.data.exists():
        return
    with locked(place.lock):
        if state := place.read_state():
            stop(state["pid"], place.marker)
        if place.runtime.exists():
            shutil.rmtree(place.runtime)
        if purge and place.data.exists():
            unmount(runner, place.data)
            shutil.rmtree(place.data)


def render_config(settings: RegistrySettings, storage: Path, port: int) -> dict[str, object]:
    """The registry's configuration; JSON is YAML. Keys: https://distribution.github.io/distribution/"""
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
    """The TCP port process ``pid`` itself listens on, in whichever network namespace it is."""
    folder = Path(f"/proc/{pid}")
    inodes: set[str] = set()
    try:
        for entry in (folder / "fd").iterdir():
            with suppress(FileNotFoundError):  # a busy process closes files while we look
                inodes.add(str(entry.readlink()).removeprefix("socket:[").removesuffix("]"))
        return parse_listening((folder / "net/tcp").read_text(), inodes)
    except OSError:
        return None


def parse_listening(table: str, inodes: set[str]) -> int | None:
    """The port of the first listening socket in ``/proc/<pid>/net/tcp`` whose inode is in ``inodes``."""
    for line in table.splitlines()[1:]:
        words = line.split()
        if words[3] == _LISTEN and words[9] in inodes:
            return int(words[1].rpartition(":")[2], 16)
    return None


def _same_settings(
    runner: Runner, place: ServerFiles, settings: RegistrySettings, port: int
) -> LocalRegistry | None:
    found = status(runner, place.name)
    if found is None:
        return None
    state = place.read_state()
    other = state is not None and RegistrySettings(**state["settings"]) != settings
    if other or port not in (0, int(found.address.rpartition(":")[2])):
        raise RegistryError.of(
            f"the registry {place.name!r} already runs at {found.address} with other settings",
            hint="take it down first, or choose another name",
        )
    return found


def _refusal(place: ServerFiles, port: int, trouble: str) -> RegistryError:
    words = tail(place.log)
    if "address already in use" in words:
        return RegistryError.of(
            f"port {port} of {_LOOPBACK} is in use by another program",
            hint="choose another port, or 0 for a free one",
        )
    return RegistryError.of(f"the local registry {place.name!r} {trouble}:\n{words}", where=str(place.log))
