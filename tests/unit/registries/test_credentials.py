from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import pytest

from lamina.errors import RegistryError
from lamina.process import Completed
from lamina.registries.credentials import Credential, DockerConfig, lookup

HOST = "r.example:5000"
PAIR = b64encode(b"me:p:w").decode()


def config(**document: object) -> DockerConfig:
    return DockerConfig(folder=Path("/home/me/.docker"), document=document)


def test_a_credential_never_shows_its_secret() -> None:
    known = Credential(username="me", secret="s3cret")
    assert "s3cret" not in f"{known} {known!r} {known.encoded!r}"
    assert known.encoded == b64encode(b"me:s3cret").decode()


@pytest.mark.parametrize(
    "key", [HOST, f"https://{HOST}", f"http://{HOST}", f"https://{HOST}/v1/", f"{HOST}/v2/"]
)
def test_auths_are_found_under_every_spelling(runner, key: str) -> None:
    found = lookup(runner, HOST, config=config(auths={"other": {"auth": "x"}, key: {"auth": PAIR}}))
    assert found == Credential(username="me", secret="p:w")


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"auth": ""},
        {"auth": "!!"},
        {"auth": b64encode(b"nocolon").decode()},
        {"auth": b64encode(b"\xff:x").decode()},
    ],
)
def test_useless_entries_are_none(runner, entry: dict[str, str]) -> None:
    assert lookup(runner, HOST, config=config(auths={HOST: entry})) is None


def test_identity_tokens_and_plain_pairs_are_read(runner) -> None:
    known = lookup(runner, HOST, config=config(auths={HOST: {"auth": PAIR, "identitytoken": "refresh"}}))
    assert known == Credential(username="<token>", secret="refresh", identity=True)
    known = lookup(runner, HOST, config=config(auths={HOST: {"username": "me", "password": "pw"}}))
    assert known == Credential(username="me", secret="pw")


def test_docker_hub_has_its_own_key(runner) -> None:
    hub = "https://index.docker.io/v1/"
    assert lookup(runner, "docker.io", config=config(auths={hub: {"auth": PAIR}})) is not None
    runner.helper("desktop", hub, Username="me", Secret="pw")
    assert lookup(runner, "docker.io", config=config(credsStore="desktop")) is not None


def test_a_helper_of_the_host_beats_the_store_and_stale_auths(runner) -> None:
    runner.helper("ecr-login", HOST, Username="AWS", Secret="minted")
    found = lookup(
        runner,
        HOST,
        config=config(credHelpers={HOST: "ecr-login"}, credsStore="desktop", auths={HOST: {"auth": PAIR}}),
    )
    assert found == Credential(username="AWS", secret="minted")
    assert runner.ran == [("docker-credential-ecr-login", "get")]


def test_an_empty_helper_means_auths(runner) -> None:
    found = lookup(runner, HOST, config=config(credHelpers={HOST: ""}, auths={HOST: {"auth": PAIR}}))
    assert found is not None
    assert runner.ran == []


def test_a_store_without_the_host_is_not_an_error(runner) -> None:
    key = (("docker-credential-desktop", "get"), HOST.encode())
    runner.plan[key] = Completed(code=1, stdout="credentials not found in native keychain\n")
    assert lookup(runner, HOST, config=config(credsStore="desktop")) is None


@pytest.mark.parametrize(
    ("done", "told"),
    [
        (Completed(code=127), "docker-credential-x, configured for r.example:5000, is not installed"),
        (Completed(code=1, stderr="keychain is locked"), "keychain is locked"),
        (Completed(code=124), "exit code 124"),
        (Completed(code=0, stdout='{"Secret": "hush"'), "does not follow the protocol"),
        (Completed(code=0, stdout='["hush"]'), "does not follow the protocol"),
    ],
)
def test_a_broken_helper_is_reported_without_its_secret(runner, done: Completed, told: str) -> None:
    runner.plan[(("docker-credential-x", "get"), HOST.encode())] = done
    with pytest.raises(RegistryError, match=told) as caught:
        lookup(runner, HOST, config=config(credHelpers={HOST: "x"}))
    assert "/home/me/.docker/config.json" in str(caught.value)
    assert caught.value.problems[0].hint
    assert "hush" not in str(caught.value)


def test_the_folder_is_dockers_own_choice(tmp_path: Path) -> None:
    assert DockerConfig.load({"HOME": str(tmp_path)}).folder == tmp_path / ".docker"
    (tmp_path / "config.json").write_text('{"credsStore": "x"}')
    loaded = DockerConfig.load({"HOME": "/nowhere", "DOCKER_CONFIG": str(tmp_path)})
    assert loaded.helper("any") == "x"


@pytest.mark.parametrize("text", ["{", "[]", "\udcff"])
def test_a_damaged_configuration_is_reported_with_its_path(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(RegistryError, match=str(path)):
        DockerConfig.load({"DOCKER_CONFIG": str(tmp_path)})


def test_the_configuration_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"auths": {HOST: {"auth": PAIR}}}))
    assert PAIR not in repr(DockerConfig.load({"DOCKER_CONFIG": str(tmp_path)}))
