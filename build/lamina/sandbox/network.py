"""Each engine's own bridge and addresses, so that engines neither meet one another nor another Docker.

Docker's firewall code owns fixed chains (DOCKER, DOCKER-USER, ...) that a second daemon in the same network
namespace would flush, and its default bridge has one fixed name. So it is told to leave the firewall alone
(``iptables: false``) and to use a bridge made here; three rules for the engine's whole address pool do the
rest, and go when it goes.
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

# RFC 2544 sets this range aside for test networks: neither the internet nor a sane office uses it.
_RANGE = ipaddress.IPv4Network("198.18.0.0/15")
_POOL_BITS = 20
_NETNS_FOLDER = Path("/var/run/netns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """An engine's addresses: the bridge's name, the pool it may use, and the namespace it is in.

    pool: 4096 addresses; the first 256 are the default bridge's, the upper half is for networks made later.
    netns: a name below /var/run/netns, None for the machine's own network.
    """

    bridge: str
    pool: ipaddress.IPv4Network
    netns: str | None = None

    @property
    def gateway(self) -> str:
        """The bridge's own address with its prefix length."""
        return f"{self.pool[1]}/24"

    @property
    def further(self) -> str:
        """The part of the pool that networks made by the user are cut from."""
        return str(list(self.pool.subnets(prefixlen_diff=1))[1])


def inside(netns: str | None, *argv: str) -> tuple[str, ...]:
    """``argv`` to be run in a network namespace; `ip netns exec` would hide the cgroup mounts."""
    return argv if netns is None else ("nsenter", f"--net={_NETNS_FOLDER / netns}", "--", *argv)


def check_netns(netns: str | None) -> None:
    """Raise EngineError when there is no network namespace of this name."""
    if netns is not None and not (_NETNS_FOLDER / netns).exists():
        raise EngineError.of(f"there is no network namespace {netns!r}", hint=f"ip netns add {netns}")


def pick_pool(seed: str, taken: Iterable[ipaddress.IPv4Network]) -> ipaddress.IPv4Network:
    """A pool that overlaps no network in ``taken``; the same seed asks for the same pool first.

    seed: hexadecimal digits. Raises EngineError when all 32 are in use.
    """
    pools = list(_RANGE.subnets(new_prefix=_POOL_BITS))
    start = int(seed, 16) % len(pools)
    used = list(taken)
    for pool in (*pools[start:], *pools[:start]):
        if not any(pool.overlaps(other) for other in used):
            return pool
    raise EngineError.of(f"every part of {_RANGE} is in use on this machine", hint="ip route")


def parse_routes(text: str) -> tuple[ipaddress.IPv4Network, ...]:
    """The networks in ``ip -json -4 route``, without the default route."""
    return tuple(
        ipaddress.IPv4Network(route["dst"], strict=False)
        for route in json.loads(text or "[]")
        if route.get("dst", "default") != "default"
    )


def parse_links(text: str, bridge: str) -> tuple[str, ...]:
    """The links in ``ip -json -4 address`` that share a pool with ``bridge``, that one last.

    Networks the user made leave their bridges behind when the daemon ends.
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
    """Make the bridge and its rules anew. identity: 8 hexadecimal digits of the engine."""
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
    """Take away the bridges and the rules of an engine, as far as there are any left."""
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
    """The flavour of iptables that this kernel answers to: ``nft`` where possible, else ``legacy``."""
    probe = _tool(prefix, netns, str(prefix.iptables("nft")), "-w", "-t", "nat", "-S")
    return "nft" if runner.run(probe).ok else "legacy"


def rules(network: Network, identity: str) -> tuple[tuple[str, ...], ...]:
    """What lets the pool reach the outside, also where other rules would drop what is forwarded."""
    pool = str(network.pool)
    mark = ("-m", "comment", "--comment", _mark(identity))
    back = ("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED")
    return (
        ("-t", "nat", "-A", "POSTROUTING", "-s", pool, "!", "-d", pool, *mark, "-j", "MASQUERADE"),
        ("-t", "filter", "-I", "FORWARD", "-s", pool, *mark, "-j", "ACCEPT"),
        ("-t", "filter", "-I", "FORWARD", "-d", pool, *back, *mark, "-j", "ACCEPT"),
    )


def _own_rules(listed: str, identity: str) -> Iterator[tuple[str, ...]]:
    """The argv that deletes each of an engine's rules in ``iptables -S``; no word of ours has a blank."""
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
