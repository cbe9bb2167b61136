"""An engine's addresses and rules, beside those of others."""

from __future__ import annotations

import json
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from lamina.errors import EngineError
from lamina.sandbox.network import (
    Network,
    check_netns,
    inside,
    lower_network,
    parse_links,
    parse_routes,
    pick_pool,
    raise_network,
    rules,
)
from lamina.sandbox.packages import Prefix

from .conftest import ScriptedRunner

PREFIX = Prefix(path=Path("/c/p"), architecture="amd64", packages=())
POOL = IPv4Network("198.18.16.0/20")
NETWORK = Network(bridge="lm-00000001", pool=POOL)
LINKS = json.dumps(
    [
        {"ifname": "eth0", "addr_info": [{"local": "192.0.2.2", "prefixlen": 24}]},
        {"ifname": "lm-00000001", "addr_info": [{"local": "198.18.16.1", "prefixlen": 24}]},
        {"ifname": "br-made-by-user", "addr_info": [{"local": "198.18.24.1", "prefixlen": 26}]},
        {"ifname": "lm-00000002", "addr_info": [{"local": "198.18.32.1", "prefixlen": 24}]},
        {"ifname": "veth0", "addr_info": []},
    ]
)


def test_the_bridge_and_further_networks_share_the_pool() -> None:
    assert NETWORK.gateway == "198.18.16.1/24"
    assert NETWORK.further == "198.18.24.0/21"


def test_the_same_seed_asks_for_the_same_pool() -> None:
    assert pick_pool("00000001", []) == POOL
    assert pick_pool("00000021", []) == POOL


def test_a_pool_in_use_is_passed_over() -> None:
    assert pick_pool("00000001", [IPv4Network("198.18.17.0/24")]) == IPv4Network("198.18.32.0/20")
    assert pick_pool("0000001f", [IPv4Network("198.19.240.0/20")]) == IPv4Network("198.18.0.0/20")


def test_no_pool_left_is_an_error() -> None:
    with pytest.raises(EngineError, match="every part of"):
        pick_pool("0", [IPv4Network("198.16.0.0/14")])


def test_routes_without_the_default_one() -> None:
    text = '[{"dst":"default","gateway":"192.0.2.1"},{"dst":"192.0.2.0/24"},{"dst":"198.51.100.7"}]'
    assert parse_routes(text) == (IPv4Network("192.0.2.0/24"), IPv4Network("198.51.100.7/32"))
    assert parse_routes("") == ()


def test_links_of_one_engine_only() -> None:
    assert parse_links(LINKS, "lm-00000001") == ("br-made-by-user", "lm-00000001")
    assert parse_links(LINKS, "lm-00000009") == ()


def test_a_namespace_is_entered_by_its_file() -> None:
    assert inside(None, "ip", "link") == ("ip", "link")
    assert inside("lab", "ip", "link") == ("nsenter", "--net=/var/run/netns/lab", "--", "ip", "link")


def test_a_namespace_that_is_not_there_is_named() -> None:
    with pytest.raises(EngineError, match="ip netns add no-such-namespace"):
        check_netns("no-such-namespace")


def test_rules_name_the_pool_and_the_engine() -> None:
    for rule in rules(NETWORK, "00000001"):
        assert str(POOL) in rule
        assert "lamina:00000001" in rule


def test_raising_takes_old_rules_away_and_falls_back_to_legacy(runner: ScriptedRunner) -> None:
    nft, legacy = str(PREFIX.iptables("nft")), str(PREFIX.iptables("legacy"))
    runner.expect("ip", "-json", "address", stdout=LINKS)
    runner.expect("ip", "link", "delete", "br-made-by-user")
    runner.expect("ip", "link", "delete", "lm-00000001")
    runner.expect(nft, "-S", code=1)
    listed = (
        "-P POSTROUTING ACCEPT\n"
        '-A POSTROUTING -s 198.18.16.0/20 -m comment --comment "lamina:00000001" -j MASQUERADE\n'
        '-A POSTROUTING -s 198.18.32.0/20 -m comment --comment "lamina:00000002" -j MASQUERADE\n'
    )
    runner.expect(legacy, "nat", "-S", stdout=listed)
    runner.expect(legacy, "nat", "-D", "POSTROUTING", "lamina:00000001")
    runner.expect(legacy, "filter", "-S", stdout="-P FORWARD DROP\n")
    runner.expect("ip", "-json", "route", stdout='[{"dst":"198.18.32.0/24"}]')
    runner.expect("ip", "link", "add", "lm-00000001", "bridge")
    runner.expect("ip", "address", "add", "198.18.16.1/24")
    runner.expect("ip", "link", "set", "up")
    runner.expect(nft, "-S", code=1)
    runner.expect(legacy, "-A", "POSTROUTING", "MASQUERADE")
    runner.expect(legacy, "-I", "FORWARD", "-s")
    runner.expect(legacy, "-I", "FORWARD", "-d")
    assert raise_network(runner, PREFIX, "00000001", None) == NETWORK
    assert not runner.steps


def test_a_bridge_that_cannot_be_made_is_reported_in_words(runner: ScriptedRunner) -> None:
    runner.expect("ip", "-json", "address", stdout="[]")
    for _ in range(2):
        runner.expect("-S")
    runner.expect("-S")
    runner.expect("ip", "-json", "route", stdout="[]")
    runner.expect("ip", "link", "add", code=2, stderr="RTNETLINK answers: Operation not permitted\n")
    with pytest.raises(EngineError, match="Operation not permitted"):
        raise_network(runner, PREFIX, "00000001", None)


def test_lowering_in_a_namespace_that_is_gone_does_nothing(runner: ScriptedRunner) -> None:
    lower_network(runner, PREFIX, "00000001", "no-such-namespace")
    assert runner.seen == []
