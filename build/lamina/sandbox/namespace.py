"""A network namespace with a way out, on which every byte that passes can be read off.

It is joined to the machine's network by a pair of virtual links: what comes in over ``eth0`` came from
outside, what is on ``lo`` went between the programs in the namespace, a registry among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lamina.errors import EngineError
from lamina.process import Command, Completed, Runner
from lamina.sandbox.cache import locked
from lamina.sandbox.daemon import ServerFiles
from lamina.sandbox.network import Network, firewall, inside, lower_network, parse_routes, pick_pool, rules
from lamina.sandbox.packages import Prefix, Say, prefix

_OUTSIDE, _LOOPBACK = "eth0", "lo"
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Bytes that were received since the namespace was made.

    internet: from outside. loopback: between programs inside, in both directions.
    """

    internet: int
    loopback: int

    def __sub__(self, before: Traffic) -> Traffic:
        return Traffic(internet=self.internet - before.internet, loopback=self.loopback - before.loopback)


def up(runner: Runner, name: str, say: Say) -> str:
    """The network namespace for ``name``, made anew; what it is called below /var/run/netns.

    Raises EngineError where the machine does not let us.
    """
    tools = prefix(runner, say)
    down(runner, name)
    try:
        with locked(ServerFiles.of("netns", name).lock.with_name("network.lock")):  # engines take it as well
            _raise(runner, tools, name)
        if _FORWARDING.read_text().strip() == "0":
            _FORWARDING.write_text("1")  # as every Docker engine does when it starts
    except (EngineError, OSError) as error:
        down(runner, name)
        raise error if isinstance(error, EngineError) else EngineError.of(str(error)) from None
    return _called(name)


def down(runner: Runner, name: str) -> None:
    """Remove the namespace for ``name`` with its links and rules, as far as there are any."""
    tools = prefix(runner, lambda _: None)
    lower_network(runner, tools, identity(name), None)
    runner.run(_tool(tools, None, "ip", "netns", "delete", _called(name)))


def traffic(pid: int) -> Traffic:
    """What has passed in the namespace that process ``pid`` is in. Raises EngineError when that is gone."""
    try:
        return parse_traffic(Path(f"/proc/{pid}/net/dev").read_text())
    except OSError as error:
        raise EngineError.of(f"the network in which bytes are counted is gone: {error}") from None


def parse_traffic(table: str) -> Traffic:
    """The first number behind each link's name in ``/proc/<pid>/net/dev`` is what it received.

    Raises EngineError when a link is missing: a count that starts again would be a wrong one.
    """
    received = {
        name.strip(): int(numbers.split()[0])
        for name, colon, numbers in (line.partition(":") for line in table.splitlines())
        if colon
    }
    for link in (_OUTSIDE, _LOOPBACK):
        if link not in received:
            raise EngineError.of(f"the network in which bytes are counted has lost its link {link}")
    return Traffic(internet=received[_OUTSIDE], loopback=received[_LOOPBACK])


def identity(name: str) -> str:
    """8 hexadecimal digits in the names of all that is made for ``name``."""
    return ServerFiles.of("netns", name).identity


def _called(name: str) -> str:
    return f"lamina-{identity(name)}"


def _raise(runner: Runner, tools: Prefix, name: str) -> None:
    mark, namespace = identity(name), _called(name)
    routes = _must(runner, tools, None, "ip", "-json", "-4", "route")
    # The link has the name that an engine's bridge has, and goes with it.
    network = Network(bridge=f"lm-{mark}", pool=pick_pool(mark, parse_routes(routes.stdout)))
    here, there = (f"{network.pool[number]}/{network.pool.prefixlen}" for number in (1, 2))
    iptables = str(tools.iptables(firewall(runner, tools, None)))
    peer = ("type", "veth", "peer", _OUTSIDE, "netns", namespace)
    for inner, argv in (
        (None, ("ip", "netns", "add", namespace)),
        (None, ("ip", "link", "add", network.bridge, *peer)),
        (None, ("ip", "address", "add", here, "dev", network.bridge)),
        (None, ("ip", "link", "set", network.bridge, "up")),
        (namespace, ("ip", "address", "add", there, "dev", _OUTSIDE)),
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
        raise EngineError.of(f"there is no network to count bytes in: `{' '.join(argv)}`: {words}")
    return done
