"""The private engine's configuration and its refusals; the engine itself is tests/integration's."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

from lamina.sandbox import engine, running
from lamina.sandbox.daemon import ServerFiles
from lamina.sandbox.network import Network

from .conftest import ScriptedRunner


def test_there_is_no_engine_in_an_empty_cache(cache: Path, runner: ScriptedRunner) -> None:
    assert running.status(runner, "default") is None


def test_taking_down_what_is_not_there_does_nothing(cache: Path, runner: ScriptedRunner) -> None:
    engine.down(runner, "default", purge=True)
    assert runner.seen == []


def test_the_configuration_keeps_off_the_system(cache: Path) -> None:
    place = ServerFiles.of("engine", "default")
    network = Network(bridge="lm-00000001", pool=IPv4Network("198.18.16.0/20"))
    config = engine.render_config(place, network)
    assert config == {
        "builder": {"gc": {"enabled": False}},
        "features": {"containerd-snapshotter": True},
        "hosts": [f"unix:///run/lamina/{place.identity}/docker.sock"],
        "group": "root",
        "data-root": str(cache / "engines/default/data"),
        "exec-root": f"/run/lamina/{place.identity}/exec",
        "pidfile": f"/run/lamina/{place.identity}/docker.pid",
        "bridge": "lm-00000001",
        "iptables": False,
        "ip6tables": False,
        "default-address-pools": [{"base": "198.18.24.0/21", "size": 26}],
    }


def test_the_environment_names_the_socket() -> None:
    one = running.PrivateEngine(
        name="default", host="unix:///run/x.sock", docker=Path("/d"), buildx=Path("/b"), pid=1
    )
    assert one.environment == {"DOCKER_HOST": "unix:///run/x.sock"}
