"""The local registry's configuration, and how its port is found."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from lamina.sandbox import registry

from .conftest import ScriptedRunner

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 777 1 0 100
   1: 0100007F:1389 0100007F:9000 01 00000000:00000000 00:00000000 00000000     0        0 778 1 0 100
"""


def test_a_plain_registry_listens_on_loopback_and_can_delete() -> None:
    assert registry.render_config(registry.RegistrySettings(), Path("/s"), 5000) == {
        "version": "0.1",
        "log": {"level": "info"},
        "storage": {"filesystem": {"rootdirectory": "/s"}, "delete": {"enabled": True}},
        "http": {"addr": "127.0.0.1:5000"},
    }


def test_passwords_and_certificates_are_named_by_path() -> None:
    settings = registry.RegistrySettings(htpasswd="/h", certificate="/c", key="/k")
    config = registry.render_config(settings, Path("/s"), 0)
    assert config["auth"] == {"htpasswd": {"realm": "lamina", "path": "/h"}}
    assert config["http"] == {"addr": "127.0.0.1:0", "tls": {"certificate": "/c", "key": "/k"}}


def test_only_an_own_listening_socket_counts() -> None:
    assert registry.parse_listening(TABLE, {"777"}) == 5000
    assert registry.parse_listening(TABLE, {"778"}) is None
    assert registry.parse_listening(TABLE, set()) is None


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux")
def test_the_port_of_this_very_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert registry.listening_port(os.getpid()) == server.getsockname()[1]


def test_there_is_no_registry_in_an_empty_cache(cache: Path, runner: ScriptedRunner) -> None:
    assert registry.status(runner, "default") is None
    registry.down(runner, "default", purge=True)
    assert runner.seen == []
