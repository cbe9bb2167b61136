"""A bridge and addresses per engine, so that engines do not disturb one another or another Docker.

Docker's firewall code owns fixed chains (DOCKER, DOCKER-USER, ...) that a second daemon in the same network
namespace would flush, and its default bridge has one fixed name. So the daemon runs with ``iptables: false``
and a bridge made here. Three rules for the engine's whole address pool replace Docker's, and are removed with
the engine.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lamina.errors import EngineError
from lamina.process import Command, Completed, Runner
from lamina.sandbox.packages import Prefix

# RFC 2544 reserves this range for test networks: neither the internet nor an office should use it.
_RANGE = ipaddress.IPv4Network("198.18.0.0/15")
_POOL_BITS = 20
_NETNS_FOLDER = Path("/var/run/netns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """An engine's bridge, address pool and network namespace.

    Attributes:
        pool: 4096 addresses; the first 256 are the default bridge's, the upper half is for the user's
            networks.
        netns: a name in /var/run/netns, None for the machine's own network.
    """

    bridge: str
    pool: ipaddress.IPv4Network
    netns: str | None = None

    @property
    def gateway(self) -> str:
        """The bridge's address with its prefix length."""
        return f"{self.pool[1]}/24"

    @property
    def further(self) -> str:
        """The upper half of the pool, for networks that the user creates."""
        return str(list(self.pool.subnets(prefixlen_diff=1))[1])


def inside(netns: str | None, *argv: str) -> tuple[str, ...]:
    """Return ``argv`` for a network namespace. Not `ip netns exec`, which hides the cgroup mounts."""
    return argv if netns is None else ("nsenter", f"--net={_NETNS_FOLDER / netns}", "--", *argv)


def check_netns(netns: str | None) -> None:
    """Raise EngineError when there is no network namespace of this name."""
    if netns is not None and not (_NETNS_FOLDER / netns).exists():
        raise EngineError.of(f"there is no network namespace {netns!r}", hint=f"ip netns add {netns}")


def pick_pool(seed: str, taken: Iterable[ipaddress.IPv4Network]) -> ipaddress.IPv4Network:
    """Return a pool that overlaps no network in ``taken``. The same seed tries the same pool first.

    seed: hexadecimal digits. Raises EngineError when all 32 pools are in use.
    """
    pools = list(_RANGE.subnets(new_prefix=_POOL_BITS))
    start = int(seed, 16) % len(pools)
    used = list(taken)
    for pool in (*pools[start:], *pools[:start]):
        if not any(pool.overlaps(other) for other in used):
            return pool
    raise EngineError.of(f"every part of {_RANGE} is in use on this machine", hint="ip route")


def parse_routes(text: str) -> tuple[ipaddress.IPv4Network, ...]:
    """Return the networks in ``ip -json -4 route``, without the default route."""
    return tuple(
        ipaddress.IPv4Network(route["dst"], strict=False)
        for route in json.loads(text or "[]")
        if route.get("dst", "default") != "default"
    )


def parse_links(text: str, bridge: str) -> tuple[str, ...]:
    """Return the links in ``ip -json -4 address`` that share a pool with ``bridge``, which is last.

    The bridges of the user's networks are left behind when the daemon ends.
    """
    addresses = {
        link["ifname"]: ipaddress.IPv4Interface(f"{info['local']}/{_POOL_BITS}").network
        for link in json.loads(text or "[]")
        for info in link.get("addr_info", [])
    }
    pool = addresses.get(bridge)
    if pool is None:
        return ()
    return (*(link for link in addresses if link != bridge and addresses[link] == pool), bridge)


def raise_network(runner: Runner, prefix: Prefix, identity: str, netns: str | None) -> Network:
    """Create the bridge and its rules, removing old ones. identity: 8 hexadecimal digits of the engine."""
    check_netns(netns)
    lower_network(runner, prefix, identity, netns)
    routes = _must(runner, _tool(prefix, netns, "ip", "-json", "-4", "route"))
    network = Network(
        bridge=f"lm-{identity}", pool=pick_pool(identity, parse_routes(routes.stdout)), netns=netns
    )
    for argv in (
        ("ip", "link", "add", network.bridge, "type", "bridge"),
        ("ip", "address", "add", network.gateway, "dev", network.bridge),
        ("ip", "link", "set", network.bridge, "up"),
    ):
        _must(runner, _tool(prefix, netns, *argv))
    iptables = str(prefix.iptables(firewall(runner, prefix, netns)))
    for rule in rules(network, identity):
        _must(runner, _tool(prefix, netns, iptables, "-w", *rule))
    return network


def lower_network(runner: Runner, prefix: Prefix, identity: str, netns: str | None) -> None:
    """Remove the bridges and rules of an engine, if there are any."""
    if netns is not None and not (_NETNS_FOLDER / netns).exists():
        return
    addresses = runner.run(_tool(prefix, netns, "ip", "-json", "-4", "address"))
    for link in parse_links(addresses.stdout, f"lm-{identity}"):
        runner.run(_tool(prefix, netns, "ip", "link", "delete", link))
    iptables = str(prefix.iptables(firewall(runner, prefix, netns)))
    for table in ("nat", "filter"):
        listed = runner.run(_tool(prefix, netns, iptables, "-w", "-t", table, "-S")).stdout
        for rule in _own_rules(listed, identity):
            runner.run(_tool(prefix, netns, iptables, "-w", "-t", table, *rule))


def firewall(runner: Runner, prefix: Prefix, netns: str | None) -> str:
    """Return the flavour of iptables that works on this kernel: ``nft`` if possible, else ``legacy``."""
    probe = _tool(prefix, netns, str(prefix.iptables("nft")), "-w", "-t", "nat", "-S")
    return "nft" if runner.run(probe).ok else "legacy"


def rules(network: Network, identity: str) -> tuple[tuple[str, ...], ...]:
    """Return the rules that give the pool outside access, even if other rules drop forwarded packets."""
    pool = str(network.pool)
    mark = ("-m", "comment", "--comment", _mark(identity))
    back = ("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED")
    return (
        ("-t", "nat", "-A", "POSTROUTING", "-s", pool, "!", "-d", pool, *mark, "-j", "MASQUERADE"),
        ("-t", "filter", "-I", "FORWARD", "-s", pool, *mark, "-j", "ACCEPT"),
        ("-t", "filter", "-I", "FORWARD", "-d", pool, *back, *mark, "-j", "ACCEPT"),
    )


def _own_rules(listed: str, identity: str) -> Iterator[tuple[str, ...]]:
    """Yield the argv that deletes each of an engine's rules in ``iptables -S``; none contains blanks."""
    for line in listed.splitlines():
        words = tuple(line.replace('"', "").split())
        if words[:1] == ("-A",) and _mark(identity) in words:
            yield ("-D", *words[1:])


def _mark(identity: str) -> str:
    return f"lamina:{identity}"


def _tool(prefix: Prefix, netns: str | None, *argv: str) -> Command:
    environment = {**prefix.tool_environment, "PATH": prefix.search_path()}
    return Command(argv=inside(netns, *argv), env=environment)


def _must(runner: Runner, command: Command) -> Completed:
    done = runner.run(command)
    if not done.ok:
        raise EngineError.of(f"`{' '.join(command.argv)}` failed: {(done.stderr or done.stdout).strip()}")
    return done
