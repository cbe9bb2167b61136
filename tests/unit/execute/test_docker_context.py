"""Docker's contexts, in folders as the docker command writes them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from lamina.errors import EngineError
from lamina.execute.docker_context import DEFAULT_HOST, chosen_host, contexts


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder with the contexts ``colima`` and ``desktop-linux``, the first of them current."""
    config(tmp_path, '{"currentContext": "colima"}')
    context(tmp_path, "colima", "unix:///colima.sock")
    context(tmp_path, "desktop-linux", "unix:///desktop.sock")
    return tmp_path


def config(home: Path, text: str) -> None:
    (home / ".docker").mkdir(exist_ok=True)
    (home / ".docker/config.json").write_text(text)


def context(home: Path, name: str, host: str, *, tls: bool = False) -> Path:
    identity = hashlib.sha256(name.encode()).hexdigest()
    file = home / ".docker/contexts/meta" / identity / "meta.json"
    file.parent.mkdir(parents=True)
    endpoints = {"docker": {"Host": host, "SkipTLSVerify": False}}
    file.write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": endpoints}))
    if tls:
        certificates = home / ".docker/contexts/tls" / identity / "docker"
        certificates.mkdir(parents=True)
        for each in ("ca", "cert", "key"):
            (certificates / f"{each}.pem").write_text(each)
    return file


@pytest.mark.parametrize(
    ("env", "found"),
    [
        ({}, ("unix:///colima.sock", True)),
        ({"DOCKER_CONTEXT": ""}, ("unix:///colima.sock", True)),
        ({"DOCKER_CONTEXT": "desktop-linux"}, ("unix:///desktop.sock", True)),
        ({"DOCKER_CONTEXT": "default"}, (DEFAULT_HOST, False)),
        ({"DOCKER_HOST": "tcp://far:2375", "DOCKER_CONTEXT": "desktop-linux"}, ("tcp://far:2375", True)),
    ],
)
def test_variables_count_before_the_current_context(
    home: Path, env: dict[str, str], found: tuple[str, bool]
) -> None:
    assert chosen_host({"HOME": str(home), **env}) == found
    assert chosen_host({"HOME": "/nowhere", "DOCKER_CONFIG": str(home / ".docker"), **env}) == found


@pytest.mark.parametrize(
    "text", ["{}", "[]", "{damaged", '{"currentContext": null}', '{"currentContext": ""}']
)
def test_a_configuration_that_names_no_context(tmp_path: Path, text: str) -> None:
    assert chosen_host({"HOME": str(tmp_path)}) == (DEFAULT_HOST, False)
    config(tmp_path, text)
    assert chosen_host({"HOME": str(tmp_path)}) == (DEFAULT_HOST, False)


def test_a_context_that_does_not_exist_is_not_the_default_one(home: Path) -> None:
    with pytest.raises(EngineError) as caught:
        chosen_host({"HOME": str(home), "DOCKER_CONTEXT": "colime"})

    assert str(caught.value) == (
        "$DOCKER_CONTEXT: there is no docker context 'colime'\n"
        "  allowed: default, colima, desktop-linux\n"
        "  next: docker context ls"
    )
    config(home, '{"currentContext": "gone"}')
    with pytest.raises(EngineError, match=r"config\.json: there is no docker context 'gone'"):
        chosen_host({"HOME": str(home)})


@pytest.mark.parametrize("text", ["{", '{"Name": "colima"}', '{"Name": "colima", "Endpoints": []}', "[]"])
def test_a_damaged_context_is_an_error_only_if_it_is_used(home: Path, text: str) -> None:
    context(home, "orbstack", "unix:///orbstack.sock").write_text(text)

    with pytest.raises(EngineError, match=r"meta\.json: the docker context cannot be read"):
        chosen_host({"HOME": str(home), "DOCKER_CONTEXT": "orbstack"})
    assert [each.name for each in contexts({"HOME": str(home)})] == ["colima", "desktop-linux"]


def test_a_context_with_certificates_names_the_variables_that_do_the_same(home: Path) -> None:
    context(home, "far", "tcp://far:2376", tls=True)
    context(home, "near", "ssh://near", tls=True)

    with pytest.raises(EngineError, match="the docker context 'far' uses TLS certificates") as caught:
        chosen_host({"HOME": str(home), "DOCKER_CONTEXT": "far"})

    (far, *_) = (each for each in contexts({"HOME": str(home)}) if each.name == "far")
    assert caught.value.problems[0].hint == (
        f"export DOCKER_HOST=tcp://far:2376 DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH={far.certificates}"
    )
    assert chosen_host({"HOME": str(home), "DOCKER_CONTEXT": "near"}) == ("ssh://near", True)
