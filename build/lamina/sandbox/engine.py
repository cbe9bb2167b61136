"""A private Docker engine, run from the cache beside any other engine, and never installed."""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from lamina.errors import EngineError
from lamina.files import locked, write_atomic
from lamina.process import Command, Runner
from lamina.provider import Say
from lamina.sandbox.collector import write_containerd
from lamina.sandbox.daemon import ServerFiles, is_alive, read_pid, stop, strays, tail, unmount, wait_until
from lamina.sandbox.network import Network, check_netns, firewall, inside, lower_network, raise_network
from lamina.sandbox.packages import Prefix, prefix
from lamina.sandbox.running import (
    PrivateEngine,
    answers,
    daemon_is_alive,
    pid_of,
    pidfile_of,
    recovered,
    socket_of,
    status,
)
from lamina.sandbox.sources import parse_os_release, unsuitable

_READY_SECONDS = 60.0
_MOST_CACHE = "20gb"
_CAP_SYS_ADMIN = 21


def unsupported() -> str | None:
    """Return why this machine cannot run a private engine; None when it can. Starts no process."""
    if sys.platform != "linux":
        return f"a private engine needs Linux, this is {sys.platform}"
    if os.geteuid() != 0 or not _may_mount(Path("/proc/self/status").read_text()):
        return "a private engine needs root with all its capabilities"
    if missing := [tool for tool in ("apt-get", "dpkg") if shutil.which(tool) is None]:
        return f"a private engine is made of Debian's packages, and there is no {' or '.join(missing)}"
    path = Path("/etc/os-release")
    return unsuitable(parse_os_release(path.read_text()) if path.is_file() else {})


def up(runner: Runner, *, name: str = "default", netns: str | None = None, say: Say) -> PrivateEngine:
    """Return the engine of this name, starting it if needed. The first start downloads the packages.

    Args:
        runner: runs the commands.
        name: the name of the engine.
        netns: the network namespace of the engine and its builds (``/var/run/netns/<netns>``).
        say: prints progress.

    Raises:
        EngineError: the machine cannot run one, or the start failed; then with the end of the log.
    """
    if found := _same_place(status(runner, name), netns):
        return found
    if reason := unsupported():
        raise EngineError.of(reason, hint="install Docker Engine 28 or newer, or set DOCKER_HOST")
    check_netns(netns)
    tools = prefix(runner, say)
    files = ServerFiles.of("engine", name)
    with locked(files.lock):
        if found := _same_place(status(runner, name), netns):
            return found
        if daemon_is_alive(files) and files.log.exists():
            # An answer may take long on a loaded machine; restart only a daemon that hangs.
            if found := _same_place(recovered(runner, name, say=say), netns):
                return found
            say(f"the private engine {name!r} does not recover: restarting it")
            _stop_daemon(files)
        say(f"starting the private Docker engine {name!r}")
        used = (files.data / "data").exists()
        _start(runner, tools, files, netns)
        started = status(runner, name)
        if started and used:
            _limit_cache(runner, started)
    if started is None:
        raise EngineError.of(f"the engine {name!r} has ended:\n{tail(files.log)}", where=str(files.log))
    return started


def down(runner: Runner, name: str = "default", *, purge: bool = False) -> None:
    """Stop the engine of this name and its containers; do nothing when there is none.

    purge: also remove its images, containers and build cache.
    """
    files = ServerFiles.of("engine", name)
    if not files.runtime.exists() and not files.data.exists():
        return
    with locked(files.lock):
        if files.runtime.exists():
            tools = prefix(runner, lambda _: None)
            if not daemon_is_alive(files) and _orphans(files):
                # A killed daemon leaves containers behind, which only a daemon can stop.
                with suppress(EngineError):
                    _start(runner, tools, files, _netns(files))
            _clear(runner, tools, files)
        if purge and files.data.exists():
            unmount(runner, files.data)
            shutil.rmtree(files.data)


def render_config(files: ServerFiles, network: Network) -> dict[str, object]:
    """Return the daemon's configuration. Keys: https://docs.docker.com/reference/cli/dockerd/

    BuildKit's garbage collection is off, since it may run during a build; see `_limit_cache`.
    """
    return {
        "builder": {"gc": {"enabled": False}},
        "features": {"containerd-snapshotter": True},
        "hosts": [f"unix://{socket_of(files)}"],
        "group": "root",
        "data-root": str(files.data / "data"),
        "exec-root": str(_exec_root(files)),
        "pidfile": str(pidfile_of(files)),
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
            hint="stop it first, or choose another name",
        )
    return found


def _start(runner: Runner, tools: Prefix, files: ServerFiles, netns: str | None) -> None:
    files.make()
    # Written first: a cleanup after a crash needs the namespace.
    state = {"pid": 0, "netns": netns, "docker": str(tools.docker), "buildx": str(tools.buildx)}
    write_atomic(files.state, json.dumps(state))
    with locked(files.lock.with_name("network.lock")):
        network = raise_network(runner, tools, files.identity, netns)
    _forget_other_pool(files, network)
    write_atomic(files.config, json.dumps(render_config(files, network), indent=2) + "\n")
    iptables = tools.iptables(firewall(runner, tools, netns)).parent
    calm = write_containerd(
        files.data / "bin",
        tools.path / "usr/bin/containerd",
        generated=_exec_root(files) / "containerd/containerd.toml",
    )
    _forget_stale(files)
    files.log.unlink(missing_ok=True)
    pid = runner.spawn(
        Command(
            argv=inside(netns, str(tools.dockerd), "--config-file", str(files.config)),
            env={**tools.tool_environment, "PATH": tools.search_path(calm, iptables)},
        ),
        log=files.log,
    )
    if trouble := wait_until(lambda: answers(socket_of(files)), pid, files.marker, seconds=_READY_SECONDS):
        _clear(runner, tools, files)
        raise EngineError.of(
            f"the private Docker engine {files.name!r} {trouble}:\n{tail(files.log)}", where=str(files.log)
        )
    write_atomic(files.state, json.dumps({**state, "pid": pid}))


def _forget_other_pool(files: ServerFiles, network: Network) -> None:
    """Make the daemon forget its networks when its address pool has changed.

    It would give the bridge its old address, which another network may use by now.
    """
    record = files.data / "pool"
    if not record.exists() or record.read_text() != str(network.pool):
        with suppress(NotADirectoryError):  # the daemon itself reports damaged data
            (files.data / "data/network/files/local-kv.db").unlink(missing_ok=True)
        write_atomic(record, str(network.pool))


def _limit_cache(runner: Runner, engine: PrivateEngine) -> None:
    """Remove the least recently used build cache, while no build runs."""
    argv = (str(engine.buildx), "prune", "--builder=default", "--force", f"--max-used-space={_MOST_CACHE}")
    runner.run(Command(argv=argv, env=engine.environment))


def _stop_daemon(files: ServerFiles) -> None:
    """Stop the daemon, which also stops its containers and containerd."""
    stop(pid_of(files), files.marker, grace=60.0)


def _forget_stale(files: ServerFiles) -> None:
    """Remove pidfiles and sockets of a crash or reboot, whose process ids may be reused by now."""
    for leftover in (pidfile_of(files), socket_of(files)):
        leftover.unlink(missing_ok=True)
    helper = _exec_root(files) / "containerd/containerd.pid"
    pid = read_pid(helper)
    if pid is None or not is_alive(pid, f"{_exec_root(files)}/"):
        helper.unlink(missing_ok=True)


def _clear(runner: Runner, tools: Prefix, files: ServerFiles) -> None:
    """Stop all processes of this engine and remove everything but its data."""
    _stop_daemon(files)
    for orphan in _orphans(files):
        stop(orphan, f"{_exec_root(files)}/", grace=5.0)
    lower_network(runner, tools, files.identity, _netns(files))
    unmount(runner, files.runtime)
    if files.runtime.exists():
        shutil.rmtree(files.runtime)


def _orphans(files: ServerFiles) -> list[int]:
    """Return the processes of containerd and its shims, which outlive a killed daemon."""
    return list(strays("containerd", f"{_exec_root(files)}/"))


def _netns(files: ServerFiles) -> str | None:
    state = files.read_state()
    return state["netns"] if state else None


def _exec_root(files: ServerFiles) -> Path:
    return files.runtime / "exec"
