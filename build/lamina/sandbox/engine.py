"""A private Docker engine: started from the cache, beside any other, and never installed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lamina.errors import EngineError
from lamina.files import write_atomic
from lamina.process import Command, Runner
from lamina.sandbox.cache import locked
from lamina.sandbox.collector import write_containerd
from lamina.sandbox.daemon import ServerFiles, is_alive, read_pid, stop, strays, tail, unmount, wait_until
from lamina.sandbox.network import Network, check_netns, firewall, inside, lower_network, raise_network
from lamina.sandbox.packages import Prefix, Say, prefix
from lamina.sandbox.sources import parse_os_release, unsuitable

_READY_SECONDS = 60.0
_MOST_CACHE = "20gb"
_WELL_AGAIN_SECONDS = 30.0
"""dockerd starts a containerd that died anew, and takes 10 to 15 s to be on speaking terms with it."""
_PAUSE_SECONDS = 0.2
_NOBODY = 2**22 + 1  # above the largest process id of Linux
_CAP_SYS_ADMIN = 21
_NO_IMAGE = b"GET /images/lamina.invalid/none/json HTTP/1.0\r\nHost: docker\r\n\r\n"
"""Whoever looks for an image asks containerd: /_ping is answered without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateEngine:
    """A running engine of ours.

    host: what DOCKER_HOST takes. docker, buildx: the command lines that fit it; buildx runs by itself.
    netns: the network namespace it is in, None for the machine's own network.
    """

    name: str
    host: str
    docker: Path
    buildx: Path
    pid: int
    netns: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What makes docker and buildx talk to this engine, whatever context the user has chosen."""
        return {"DOCKER_HOST": self.host}


def unsupported() -> str | None:
    """Why this machine cannot have a private engine, None when it can. Starts nothing."""
    if sys.platform != "linux":
        return f"a private engine needs Linux, this is {sys.platform}"
    if os.geteuid() != 0 or not _may_mount(Path("/proc/self/status").read_text()):
        return "a private engine needs root with all its capabilities"
    if missing := [tool for tool in ("apt-get", "dpkg") if shutil.which(tool) is None]:
        return f"a private engine is assembled from Debian's packages, and there is no {' or '.join(missing)}"
    path = Path("/etc/os-release")
    return unsuitable(parse_os_release(path.read_text()) if path.is_file() else {})


def status(runner: Runner, name: str = "default") -> PrivateEngine | None:
    """The engine of this name if it answers for its images. Starts no process; takes some milliseconds."""
    del runner  # a file and a socket are enough
    place = ServerFiles.of("engine", name)
    state = place.read_state()
    if state is None or not is_alive(state["pid"], place.marker) or not _answers(_socket(place)):
        return None
    docker, buildx = Path(state["docker"]), Path(state["buildx"])
    if not all(path.exists() for path in (docker, buildx, place.log)):
        return None  # somebody emptied the cache below a running engine
    return PrivateEngine(
        name=name,
        host=f"unix://{_socket(place)}",
        docker=docker,
        buildx=buildx,
        pid=state["pid"],
        netns=state["netns"],
    )


def recovered(runner: Runner, name: str, *, say: Say) -> PrivateEngine | None:
    """The engine of this name; one whose daemon runs but is not well is waited for, up to 30 s.

    None when there is none, or it does not get well. Starts and stops nothing.
    """
    found, place = status(runner, name), ServerFiles.of("engine", name)
    if found is not None or not _daemon_is_alive(place):
        return found
    say(f"the private engine {name!r} runs but does not answer for its images: waiting up to 30 s")
    end = time.monotonic() + _WELL_AGAIN_SECONDS
    while found is None and time.monotonic() < end and _daemon_is_alive(place):
        time.sleep(_PAUSE_SECONDS)
        found = status(runner, name)
    return found


def up(runner: Runner, *, name: str = "default", netns: str | None = None, say: Say) -> PrivateEngine:
    """The engine of this name, started if need be: 1 s, and the first time the packages are fetched.

    netns: the network namespace (``/var/run/netns/<netns>``) the engine and its builds live in.
    Raises EngineError when the machine cannot have one, or with the end of the daemon's log.
    """
    if found := _same_place(status(runner, name), netns):
        return found
    if reason := unsupported():
        raise EngineError.of(reason, hint="install Docker Engine 28 or newer, or set DOCKER_HOST")
    check_netns(netns)
    tools = prefix(runner, say)
    place = ServerFiles.of("engine", name)
    with locked(place.lock):
        if found := _same_place(status(runner, name), netns):
            return found
        if _daemon_is_alive(place) and place.log.exists():
            # On a machine under load an answer may take long; only one that hangs is started again.
            if found := _same_place(recovered(runner, name, say=say), netns):
                return found
            say(f"the private engine {name!r} does not get well: starting it again")
            _stop_daemon(place)
        say(f"starting the private Docker engine {name!r}")
        used = (place.data / "data").exists()
        _start(runner, tools, place, netns)
        started = status(runner, name)
        if started and used:
            _limit_cache(runner, started)
    if started is None:
        raise EngineError.of(f"the engine {name!r} went away:\n{tail(place.log)}", where=str(place.log))
    return started


def down(runner: Runner, name: str = "default", *, purge: bool = False) -> None:
    """Stop the engine of this name with its containers; nothing happens when there is none.

    purge: remove its images, containers and build cache as well.
    """
    place = ServerFiles.of("engine", name)
    if not place.runtime.exists() and not place.data.exists():
        return
    with locked(place.lock):
        if place.runtime.exists():
            tools = prefix(runner, lambda _: None)
            if not _daemon_is_alive(place) and _orphans(place):
                # A daemon that was killed leaves containers behind, and only a daemon knows how to end them.
                with suppress(EngineError):
                    _start(runner, tools, place, _netns(place))
            _clear(runner, tools, place)
        if purge and place.data.exists():
            unmount(runner, place.data)
            shutil.rmtree(place.data)


def render_config(place: ServerFiles, network: Network) -> dict[str, object]:
    """The daemon's configuration. Keys: https://docs.docker.com/reference/cli/dockerd/

    builder: BuildKit collects a minute after a build, which may be in the midst of another one; see
    `_limit_cache`.
    """
    return {
        "builder": {"gc": {"enabled": False}},
        "features": {"containerd-snapshotter": True},
        "hosts": [f"unix://{_socket(place)}"],
        "group": "root",
        "data-root": str(place.data / "data"),
        "exec-root": str(_exec_root(place)),
        "pidfile": str(_pidfile(place)),
        "bridge": network.bridge,
        "iptables": False,
        "ip6tables": False,
        "default-address-pools": [{"base": network.further, "size": 26}],
    }


def _may_mount(status_text: str) -> bool:
    """Whether ``/proc/self/status`` shows CAP_SYS_ADMIN, which root in an ordinary container lacks."""
    words = next((line.split() for line in status_text.splitlines() if line.startswith("CapEff:")), ("", "0"))
    return bool(int(words[1], 16) >> _CAP_SYS_ADMIN & 1)


def _same_place(found: PrivateEngine | None, netns: str | None) -> PrivateEngine | None:
    if found is not None and found.netns != netns:
        raise EngineError.of(
            f"the engine {found.name!r} is in network namespace {found.netns or '-'}, not in {netns or '-'}",
            hint="take it down first, or choose another name",
        )
    return found


def _start(runner: Runner, tools: Prefix, place: ServerFiles, netns: str | None) -> None:
    place.make()
    # Written first: whoever cleans up after a crash must know the namespace.
    state = {"pid": 0, "netns": netns, "docker": str(tools.docker), "buildx": str(tools.buildx)}
    write_atomic(place.state, json.dumps(state))
    with locked(place.lock.with_name("network.lock")):
        network = raise_network(runner, tools, place.identity, netns)
    _forget_other_pool(place, network)
    write_atomic(place.config, json.dumps(render_config(place, network), indent=2) + "\n")
    iptables = tools.iptables(firewall(runner, tools, netns)).parent
    calm = write_containerd(
        place.data / "bin",
        tools.path / "usr/bin/containerd",
        generated=_exec_root(place) / "containerd/containerd.toml",
    )
    _forget_stale(place)
    place.log.unlink(missing_ok=True)
    pid = runner.spawn(
        Command(
            argv=inside(netns, str(tools.dockerd), "--config-file", str(place.config)),
            env={**tools.tool_environment, "PATH": tools.search_path(calm, iptables)},
        ),
        log=place.log,
    )
    if trouble := wait_until(lambda: _answers(_socket(place)), pid, place.marker, seconds=_READY_SECONDS):
        _clear(runner, tools, place)
        raise EngineError.of(
            f"the private Docker engine {place.name!r} {trouble}:\n{tail(place.log)}", where=str(place.log)
        )
    write_atomic(place.state, json.dumps({**state, "pid": pid}))


def _forget_other_pool(place: ServerFiles, network: Network) -> None:
    """Make the daemon forget its networks when its pool is another one than last time.

    It would give our bridge the address that it had then, which may be somebody else's by now.
    """
    record = place.data / "pool"
    if not record.exists() or record.read_text() != str(network.pool):
        with suppress(NotADirectoryError):  # what is wrong with the data is the daemon's to say
            (place.data / "data/network/files/local-kv.db").unlink(missing_ok=True)
        write_atomic(record, str(network.pool))


def _limit_cache(runner: Runner, engine: PrivateEngine) -> None:
    """Remove the build cache that was not used for longest, while nothing is built."""
    argv = (str(engine.buildx), "prune", "--builder=default", "--force", f"--max-used-space={_MOST_CACHE}")
    runner.run(Command(argv=argv, env=engine.environment))


def _stop_daemon(place: ServerFiles) -> None:
    """Stop the daemon, which takes its containers and containerd along."""
    stop(_pid(place), place.marker, grace=60.0)


def _forget_stale(place: ServerFiles) -> None:
    """Remove what a crash or a reboot left and a daemon would trust: its number may be another program's."""
    for leftover in (_pidfile(place), _socket(place)):
        leftover.unlink(missing_ok=True)
    helper = _exec_root(place) / "containerd/containerd.pid"
    pid = read_pid(helper)
    if pid is None or not is_alive(pid, f"{_exec_root(place)}/"):
        helper.unlink(missing_ok=True)


def _clear(runner: Runner, tools: Prefix, place: ServerFiles) -> None:
    """End what still runs of this engine and remove all of it but its data."""
    _stop_daemon(place)
    for orphan in _orphans(place):
        stop(orphan, f"{_exec_root(place)}/", grace=5.0)
    lower_network(runner, tools, place.identity, _netns(place))
    unmount(runner, place.runtime)
    if place.runtime.exists():
        shutil.rmtree(place.runtime)


def _daemon_is_alive(place: ServerFiles) -> bool:
    return is_alive(_pid(place), place.marker)


def _pid(place: ServerFiles) -> int:
    """The daemon's process id as it wrote it, or one that no process has."""
    return read_pid(_pidfile(place)) or _NOBODY


def _orphans(place: ServerFiles) -> list[int]:
    """containerd and its shims, which outlive a daemon that was killed."""
    return list(strays("containerd", f"{_exec_root(place)}/"))


def _netns(place: ServerFiles) -> str | None:
    state = place.read_state()
    return state["netns"] if state else None


def _socket(place: ServerFiles) -> Path:
    return place.runtime / "docker.sock"


def _pidfile(place: ServerFiles) -> Path:
    return place.runtime / "docker.pid"


def _exec_root(place: ServerFiles) -> Path:
    return place.runtime / "exec"


def _answers(path: Path) -> bool:
    """Whether an engine looks for images on this socket, and says that there is none of that name."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(5.0)
        try:
            line.connect(str(path))
            line.sendall(_NO_IMAGE)
            return b" 404 " in line.recv(64)
        except OSError:
            return False
