"""A network namespace with outside access whose traffic can be counted.

A pair of virtual links joins it to the machine's network. Bytes received on ``eth0`` came from outside; bytes
on ``lo`` went between programs in the namespace, such as a registry.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lamina.errors import EngineError
from lamina.files import locked
from lamina.process import Command, Completed, Runner
from lamina.provider import Say
from lamina.sandbox.daemon import ServerFiles
from lamina.sandbox.network import Network, firewall, inside, lower_network, parse_routes, pick_pool, rules
from lamina.sandbox.packages import Prefix, prefix

_OUTSIDE, _LOOPBACK = "eth0", "lo"
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Bytes received since the namespace was created.

    Attributes:
        internet: from outside.
        loopback: between programs in the namespace, in both directions.
    """

    internet: int
    loopback: int

    def __sub__(self, before: Traffic) -> Traffic:
        return Traffic(internet=self.internet - before.internet, loopback=self.loopback - before.loopback)


def up(runner: Runner, name: str, say: Say) -> str:
    """Create the network namespace for ``name`` again and return its name in /var/run/netns.

    Raises EngineError when the machine does not allow it.
    """
    tools = prefix(runner, say)
    down(runner, name)
    try:
        with locked(ServerFiles.of("netns", name).lock.with_name("network.lock")):  # shared with engines
            _raise(runner, tools, name)
        if _FORWARDING.read_text().strip() == "0":
            _FORWARDING.write_text("1")  # as every Docker engine does when it starts
    except (EngineError, OSError) as error:
        down(runner, name)
        raise error if isinstance(error, EngineError) else EngineError.of(str(error)) from None
    return _called(name)


def down(runner: Runner, name: str) -> None:
    """Remove the namespace for ``name`` with its links and rules, if there are any."""
    tools = prefix(runner, lambda _: None)
    lower_network(runner, tools, identity(name), None)
    runner.run(_tool(tools, None, "ip", "netns", "delete", _called(name)))


def traffic(pid: int) -> Traffic:
    """Return the traffic in the namespace of process ``pid``. Raises EngineError when it is gone."""
    try:
        return parse_traffic(Path(f"/proc/{pid}/net/dev").read_text())
    except OSError as error:
        raise EngineError.of(f"the network namespace of the counters is gone: {error}") from None


def parse_traffic(table: str) -> Traffic:
    """Read the received bytes of each link, the first number after its name in ``/proc/<pid>/net/dev``.

    Raises EngineError when a link is missing, since a count that starts again would be wrong.
    """
    received = {
        name.strip(): int(numbers.split()[0])
        for name, colon, numbers in (line.partition(":") for line in table.splitlines())
        if colon
    }
    for link in (_OUTSIDE, _LOOPBACK):
        if link not in received:
            raise EngineError.of(f"the network namespace of the counters has lost its link {link}")
    return Traffic(internet=received[_OUTSIDE], loopback=received[_LOOPBACK])


def identity(name: str) -> str:
    """Return the 8 hexadecimal digits in the names of everything created for ``name``."""
    return ServerFiles.of("netns", name).identity


def _called(name: str) -> str:
    return f"lamina-{identity(name)}"


def _raise(runner: Runner, tools: Prefix, name: str) -> None:
    mark, namespace = identity(name), _called(name)
    routes = _must(runner, tools, None, "ip", "-json", "-4", "route")
    # Named like an engine's bridge, so that `lower_network` removes it.
    network = Network(bridge=f"lm-{mark}", pool=pick_pool(mark, parse_routes(routes.stdout)))
    outer, peer_address = (f"{network.pool[number]}/{network.pool.prefixlen}" for number in (1, 2))
    iptables = str(tools.iptables(firewall(runner, tools, None)))
    peer = ("type", "veth", "peer", _OUTSIDE, "netns", namespace)
    for inner, argv in (
        (None, ("ip", "netns", "add", namespace)),
        (None, ("ip", "link", "add", network.bridge, *peer)),
        (None, ("ip", "address", "add", outer, "dev", network.bridge)),
        (None, ("ip", "link", "set", network.bridge, "up")),
        (namespace, ("ip", "address", "add", peer_address, "dev", _OUTSIDE)),
        (namespace, ("ip", "link", "set", _OUTSIDE, "up")),
        (namespace, ("ip", "link", "set", _LOOPBACK, "up")),
        (namespace, ("ip", "route", "add", "default", "via", str(network.pool[1]))),
        *((None, (iptables, "-w", *rule)) for rule in rules(network, mark)),
    ):
        _must(runner, tools, inner, *argv)


def _tool(tools: Prefix, namespace: str | None, *argv: str) -> Command:
    environment = {**tools.tool_environment, "PATH": tools.search_path()}
    return Command(argv=inside(namespace, *argv), env=environment)


def _must(runner: Runner, tools: Prefix, namespace: str | None, *argv: str) -> Completed:
    done = runner.run(_tool(tools, namespace, *argv))
    if not done.ok:
        words = (done.stderr or done.stdout).strip()
        raise EngineError.of(f"cannot create the network namespace: `{' '.join(argv)}`: {words}")
    return done
