"""The engine's own image store, moving images to and from a real registry with a password."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import bcrypt
import docker
import pytest

from lamina.errors import EngineError, RegistryError
from lamina.process import SubprocessRunner
from lamina.refs import Reference
from lamina.registries.credentials import Credential
from lamina.registries.local import LocalStore
from lamina.sandbox import registry as sandbox

pytestmark = pytest.mark.engine

LOGIN = Credential(username="me", secret="correct horse battery staple")
LAYER = 1_000_000  # bytes


class Engine(Protocol):
    """What the `engine` fixture gives, as far as it is used here."""

    @property
    def host(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """A registry, and the engine to fill it from."""

    address: str
    api: docker.APIClient

    def ref(self, name: str) -> Reference:
        return Reference.parse(f"{self.address}/{name}")

    def image(self, name: str) -> Reference:
        """An image in the engine with a layer that no other image has."""
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as archive:
            entry = tarfile.TarInfo("noise")
            entry.size = LAYER
            archive.addfile(entry, io.BytesIO(os.urandom(LAYER)))
        ref = self.ref(name)
        self.api.import_image_from_data(
            tar.getvalue(), repository=ref.name, tag=ref.tag, changes=["LABEL says=hello"]
        )
        return ref


@pytest.fixture(scope="module")
def shelf(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    htpasswd = tmp_path_factory.mktemp("registry") / "htpasswd"
    hashed = bcrypt.hashpw(LOGIN.secret.encode(), bcrypt.gensalt(rounds=4)).decode()
    htpasswd.write_text(f"{LOGIN.username}:{hashed}\n")
    runner, name = SubprocessRunner(), f"test-local-store-{os.getpid()}"
    running = sandbox.up(runner, name=name, port=0, htpasswd=htpasswd, say=lambda line: None)
    api = docker.APIClient(base_url=engine.host, version="auto", timeout=60)
    try:
        yield Shelf(address=running.address, api=api)
    finally:
        for image in api.images(all=True):
            for known in image.get("RepoTags") or image.get("RepoDigests") or ():
                if known.startswith(f"{running.address}/"):
                    api.remove_image(known)
        api.close()
        sandbox.down(runner, name, purge=True)


@pytest.fixture
def store(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalStore]:
    """A store without anything in docker's configuration that could let it in."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    opened = LocalStore(engine.host)
    yield opened
    opened.close()


def push(store: LocalStore, ref: Reference) -> str:
    digest = store.push(ref, LOGIN, lambda line: None)
    assert digest is not None
    return digest


def test_an_image_is_found_with_its_labels_and_missing_ones_are_none(store: LocalStore, shelf: Shelf) -> None:
    ref = shelf.image("look/one:v1")
    found = store.images([ref, ref.with_tag("v2")])
    image = found[ref]
    assert image is not None
    assert image.labels == {"says": "hello"}
    assert image.platform.startswith("linux/")
    assert image.size >= LAYER
    assert found[ref.with_tag("v2")] is None


def test_a_tag_is_a_further_name_and_removing_it_leaves_the_other(store: LocalStore, shelf: Shelf) -> None:
    ref = shelf.image("tag/one:v1")
    other = shelf.ref("tag/two:stable")
    store.tag(ref, other)
    found = store.images([ref, other])
    assert found[ref] is not None
    assert found[other] is not None
    assert found[ref].id == found[other].id
    store.remove(other)
    store.remove(other)  # not there: success
    assert [image is None for image in store.images([ref, other]).values()] == [False, True]


def test_tagging_a_missing_image_is_an_engine_error(store: LocalStore, shelf: Shelf) -> None:
    with pytest.raises(EngineError, match=r"cannot tag .*no/such:v1"):
        store.tag(shelf.ref("no/such:v1"), shelf.ref("no/such:v2"))


def test_an_image_goes_to_the_registry_and_comes_back_by_tag(store: LocalStore, shelf: Shelf) -> None:
    ref = shelf.image("move/one:v1")
    lines: list[str] = []
    digest = store.push(ref, LOGIN, lines.append)
    assert digest is not None
    assert lines[0].startswith("The push refers to repository")
    assert store.pull(ref, LOGIN) == "was there"
    store.remove(ref)
    line = store.pull(ref, LOGIN)
    assert line.startswith(f"pulled {digest[:19]}… (")
    assert line.endswith(" MB)")
    image = store.images([ref])[ref]
    assert image is not None
    assert image.digest == digest


def test_a_moved_tag_is_pulled_again(store: LocalStore, shelf: Shelf) -> None:
    ref = shelf.image("move/two:v1")
    push(store, ref)
    newer = push(store, shelf.image("move/two:v1"))
    store.tag(shelf.image("move/two:old"), ref)
    assert store.pull(ref, LOGIN).startswith(f"pulled {newer[:19]}…")


def test_an_image_comes_back_by_digest(store: LocalStore, shelf: Shelf) -> None:
    ref = shelf.image("move/three:v1")
    pinned = ref.with_digest(push(store, ref))
    store.remove(ref)
    assert store.pull(pinned, LOGIN).startswith("pulled ")
    assert store.pull(pinned, LOGIN) == "was there"
    assert store.images([pinned])[pinned] is not None
    store.remove(pinned)
    assert store.images([pinned])[pinned] is None


@pytest.mark.parametrize("name", ["there/one:v9", "there/one@sha256:" + "0" * 64, "never/pushed:v1"])
def test_a_missing_image_is_reported_in_a_line(store: LocalStore, shelf: Shelf, name: str) -> None:
    push(store, shelf.image("there/one:v1"))
    assert store.pull(shelf.ref(name), LOGIN) == f"not found in {shelf.address}"


@pytest.mark.parametrize("login", [None, Credential(username="me", secret="wrong")], ids=["none", "wrong"])
def test_refused_credentials_name_the_login(
    store: LocalStore, shelf: Shelf, login: Credential | None
) -> None:
    ref = shelf.image("refused/one:v1")
    for move in (lambda: store.pull(ref, login), lambda: store.push(ref, login, lambda line: None)):
        with pytest.raises(RegistryError, match=f"docker login {shelf.address}") as caught:
            move()
        assert "wrong" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1:1", "registry.invalid"])
def test_a_registry_that_cannot_be_reached_is_its_error(store: LocalStore, host: str) -> None:
    with pytest.raises(RegistryError, match=rf"the pull of {host}/any:v1 failed[\s\S]*name and port"):
        store.pull(Reference.parse(f"{host}/any:v1"), None)


def test_an_unused_socket_is_not_an_engine(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with pytest.raises(EngineError, match=f"no Docker engine at unix://{path}: connection refused"):
        LocalStore(f"unix://{path}").images([Reference.parse("any:v1")])
