from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from docker.errors import APIError, NotFound
from requests.exceptions import ConnectionError as NoAnswer
from urllib3.exceptions import ReadTimeoutError

from lamina.errors import EngineError, RegistryError
from lamina.refs import Reference
from lamina.registries.credentials import Credential
from lamina.registries.local import LocalStore, image_of, layers_of, moving
from lamina.registries.pace import Pace

REF = Reference.parse("r.example/team/app:v1")
TOLD = {
    "Id": "sha256:aaa",
    "RepoDigests": ["other/app@sha256:zzz", "r.example/team/app@sha256:bbb"],
    "Size": 1234,
    "Os": "linux",
    "Architecture": "arm64",
    "Variant": "v8",
    "Config": {"Labels": {"k": "v"}},
}


class Engine:
    """docker-py's APIClient, as far as we use it."""

    def __init__(self, **images: dict[str, Any]) -> None:
        self.images = images
        self.answers_inspections = False
        self.timeout: float | None = 60
        self.calls: list[tuple[Any, ...]] = []
        self.events: list[dict[str, Any]] = []
        self.failure: Exception | None = None
        self.arriving: dict[str, dict[str, Any]] = {}

    def inspect_image(self, name: str) -> dict[str, Any]:
        if self.failure and not self.answers_inspections:
            raise self.failure
        if name not in self.images:
            raise NotFound("no such image")
        return self.images[name]

    def tag(self, *args: Any, **options: Any) -> bool:
        self.calls.append(("tag", *args, options))
        return True

    def push(self, *args: Any, **options: Any) -> Iterator[dict[str, Any]]:
        self.calls.append(("push", *args, options))
        return iter(self.events)

    def pull(self, *args: Any, **options: Any) -> Iterator[dict[str, Any]]:
        self.calls.append(("pull", *args, options))
        if self.failure:
            raise self.failure
        self.images.update(self.arriving)
        return iter(self.events)

    def get_image(self, name: str) -> Iterator[bytes]:
        assert name in self.images
        return iter((b"an ", b"archive"))

    def load_image(self, archive: bytes, quiet: bool) -> Iterator[dict[str, Any]]:
        self.calls.append(("load", archive, quiet, self.timeout))
        return iter(self.events)

    def remove_image(self, name: str) -> None:
        self.calls.append(("remove", name))
        if name not in self.images:
            raise NotFound("no such image")


def test_images_are_read_and_absent_ones_are_none() -> None:
    store = LocalStore(api=Engine(**{str(REF): TOLD}))
    found = store.images([REF, REF.with_tag("v2")])
    image = found[REF]
    assert image is not None
    assert (image.id, image.digest, image.size) == ("sha256:aaa", "sha256:bbb", 1234)
    assert (image.labels, image.platform) == ({"k": "v"}, "linux/arm64/v8")
    assert found[REF.with_tag("v2")] is None


def test_the_containerd_store_names_the_manifest_itself() -> None:
    assert image_of(REF, {**TOLD, "Descriptor": {"digest": "sha256:ccc"}}).digest == "sha256:ccc"
    several = ["r.example/team/app@sha256:bbb", "r.example/team/app@sha256:ccc"]
    assert image_of(REF, {"RepoDigests": several}).digest is None
    assert image_of(REF.with_digest("sha256:ccc"), {"RepoDigests": several}).digest == "sha256:ccc"
    bare = image_of(REF, {"Id": "sha256:aaa", "Config": None, "RepoDigests": None, "Os": "linux"})
    assert (bare.digest, bare.labels, bare.platform, bare.size) == (None, {}, "linux", 0)


def test_the_containerd_store_names_the_configuration_of_what_it_built() -> None:
    built = {"digest": "sha256:ccc", "annotations": {"config.digest": "sha256:ddd"}}
    assert image_of(REF, {**TOLD, "Descriptor": built}).config == "sha256:ddd"
    assert image_of(REF, {**TOLD, "Descriptor": {"digest": "sha256:ccc", "annotations": None}}).config is None


def test_an_image_is_saved_whole(tmp_path: Path) -> None:
    LocalStore(api=Engine(**{str(REF): TOLD})).save(REF, tmp_path / "image.tar")
    assert (tmp_path / "image.tar").read_bytes() == b"an archive"


def test_loads_at_once_leave_the_timeout_as_it_was() -> None:
    other = Event()

    class Slow(Engine):
        def load_image(self, archive: bytes, quiet: bool) -> Iterator[dict[str, Any]]:
            if archive == b"first":
                second.start()
                other.wait(0.1)  # in vain if loads wait for each other
            else:
                other.set()
                first.join()
            return super().load_image(archive, quiet)

    engine = Slow()
    store = LocalStore(api=engine)
    first = Thread(target=store.load, args=(REF, b"first"))
    second = Thread(target=store.load, args=(REF, b"second"))
    first.start()
    first.join()
    second.join()

    assert engine.timeout == 60
    assert [call[1] for call in engine.calls] == [b"first", b"second"]


def test_tags_and_removals_are_passed_on() -> None:
    engine = Engine()
    store = LocalStore(api=engine)
    store.tag(REF, Reference.parse("localhost:5000/app:v2"))
    store.remove(REF)  # not there: success
    assert engine.calls == [
        ("tag", str(REF), "localhost:5000/app", "v2", {"force": True}),
        ("remove", str(REF)),
    ]


def test_a_push_tells_its_steps_and_the_digest() -> None:
    engine = Engine()
    engine.events = [
        {"status": "The push refers to repository [r.example/team/app]"},
        {"status": "Pushing", "id": "abc", "progressDetail": {"current": 1, "total": 2}},
        {"status": "Pushed", "id": "abc", "progressDetail": {}},
        {"aux": {"Tag": "v1", "Digest": "sha256:bbb", "Size": 9}, "progressDetail": {}},
    ]
    lines: list[str] = []
    digest = LocalStore(api=engine).push(REF, Credential(username="me", secret="pw"), lines.append)
    assert digest == "sha256:bbb"
    assert lines == ["The push refers to repository [r.example/team/app]", "abc: Pushed"]
    assert engine.calls[0][3]["auth_config"] == {"username": "me", "password": "pw"}


def test_podman_tells_the_digest_of_a_push_in_words() -> None:
    engine = Engine(**{str(REF): {**TOLD, "RepoDigests": ["r.example/team/app@sha256:old"]}})
    digest = f"sha256:{'1' * 64}"
    engine.events = [
        {"status": "The push refers to repository"},
        {"status": f"v1: digest: {digest} size: 498"},
    ]

    assert LocalStore(api=engine).push(REF, None, lambda line: None) == digest


@pytest.mark.parametrize(
    ("failure", "hint"),
    [
        ("no basic auth credentials", "docker login r.example"),
        ("denied: requested access to the resource is denied", "docker login r.example"),
        ("name unknown: The repository 'x' does not exist", "--create"),
        ("connection reset", "try again"),
    ],
)
def test_a_refused_push_is_the_registrys_error(failure: str, hint: str) -> None:
    engine = Engine()
    engine.events = [{"errorDetail": {"message": failure}, "error": failure}]
    with pytest.raises(RegistryError, match=failure) as caught:
        LocalStore(api=engine).push(REF, None, lambda line: None)
    assert hint in str(caught.value)


def test_a_push_without_an_answer_of_the_registry_is_read_from_the_store() -> None:
    engine = Engine(**{str(REF): TOLD})
    engine.events = [{"status": "v1: digest: sha256:bbb size: 405"}]
    assert LocalStore(api=engine).push(REF, None, lambda line: None) == "sha256:bbb"


def test_a_pull_says_what_came_of_it() -> None:
    engine = Engine()
    engine.arriving = {str(REF): {**TOLD, "Size": 12_345_678}}
    store = LocalStore(api=engine)
    identity = Credential(username="<token>", secret="refresh", identity=True)
    assert store.pull(REF, identity) == "pulled sha256:bbb… (12.3 MB)"
    assert store.pull(REF, None) == "was there"
    auth = {"identitytoken": "refresh"}
    assert engine.calls[0] == (
        "pull",
        "r.example/team/app",
        "v1",
        {"stream": True, "decode": True, "auth_config": auth},
    )


@pytest.mark.parametrize("name", ["r.example/app", "r.example/app:v1", "r.example/app:v1@sha256:" + "0" * 64])
def test_a_pull_asks_for_the_digest_else_the_tag_else_latest(name: str) -> None:
    engine = Engine()
    ref = Reference.parse(name)
    LocalStore(api=engine).pull(ref, None)
    assert engine.calls[0][1:3] == ("r.example/app", ref.digest or ref.tag or "latest")


def test_an_absent_image_is_a_line_and_a_denied_one_is_not() -> None:
    engine = Engine()
    engine.answers_inspections = True
    store = LocalStore(api=engine)
    engine.failure = NotFound("x", explanation='failed to resolve "r.example/team/app:v1": not found')
    assert store.pull(REF, None) == "not found in r.example"
    denied = "pull access denied for app, repository does not exist or may require 'docker login'"
    engine.failure = NotFound("x", explanation=denied)
    with pytest.raises(RegistryError, match=r"pull access denied[\s\S]*docker login r.example"):
        store.pull(REF, None)


@pytest.mark.parametrize(
    ("failure", "hint"),
    [
        ("dial tcp: lookup r.example: no such host", "name and port"),
        ("http: server gave HTTP response to HTTPS client", "registries.conf of Podman"),
        ("unexpected EOF", "try again"),
    ],
)
def test_a_pull_that_breaks_off_is_the_registrys_error(failure: str, hint: str) -> None:
    engine = Engine()
    engine.events = [{"status": "Pulling fs layer"}, {"error": failure}]
    with pytest.raises(RegistryError, match=f"the pull of {REF} failed: {failure}") as caught:
        LocalStore(api=engine).pull(REF, None)
    assert hint in str(caught.value)


def test_an_engine_that_does_not_answer_is_reported() -> None:
    engine = Engine()
    store = LocalStore("unix:///nowhere.sock", api=engine)
    engine.failure = NoAnswer("no")
    with pytest.raises(
        EngineError, match=r"unix:///nowhere.sock: the Docker engine does not answer"
    ) as caught:
        store.images([REF])
    assert "DOCKER_HOST" in str(caught.value)
    engine.failure = APIError("boom", explanation="disk is full")
    with pytest.raises(EngineError, match=r"cannot inspect .*: disk is full"):
        store.images([REF])


def test_no_engine_at_all_is_reported() -> None:
    with pytest.raises(EngineError, match="no Docker engine at unix:///nonexistent"):
        LocalStore("unix:///nonexistent/docker.sock").images([REF])


@pytest.mark.parametrize(
    ("sizes", "layers"),
    [
        ([10, 0, 20, 0], (("a", 10), ("b", 20))),
        ([10, 0, 0, 0], ()),  # a layer of nothing looks like none: the engine is unsure
        ([], ()),
    ],
)
def test_layers_have_the_sizes_of_the_history(sizes: list[int], layers: tuple[tuple[str, int], ...]) -> None:
    assert layers_of(["a", "b"], sizes) == layers


class TestStall:
    """The engine tells ten times a second how far it is, also when it is no further."""

    def follow(self, *events: dict[str, Any], stall: float = 10) -> None:
        """One event a second."""
        seconds = iter(range(1, 10_000))
        told = moving(events, Pace(stall, 0), clock=lambda: next(seconds))
        assert list(told) == list(events)

    def at(self, status: str, current: int | None = None, layer: str = "a") -> dict[str, Any]:
        return {
            "status": status,
            "id": layer,
            "progressDetail": {} if current is None else {"current": current},
        }

    @pytest.mark.parametrize("status", ["Waiting", "Pushing", "Downloading"])
    def test_the_same_over_and_over(self, status: str) -> None:
        with pytest.raises(TimeoutError):
            self.follow(*[self.at(status, 5)] * 20)

    def test_a_drip(self) -> None:
        with pytest.raises(TimeoutError):
            self.follow(*(self.at("Pushing", count) for count in range(20)))

    def test_bytes(self) -> None:
        self.follow(*(self.at("Pushing", 1000 * count) for count in range(100)))

    def test_one_layer_after_the_other(self) -> None:
        self.follow(*(self.at("Waiting", layer=str(layer)) for layer in range(100)))

    def test_unpacking_takes_its_time(self) -> None:
        self.follow(*[self.at("Extracting", 1)] * 50)

    def test_no_limit(self) -> None:
        self.follow(*[self.at("Pushing", 5)] * 50, stall=0)

    @pytest.mark.parametrize("verb", ["push", "pull"])
    def test_it_is_the_registry_that_is_named(self, verb: str) -> None:
        def silent() -> Iterator[dict[str, Any]]:
            yield self.at("Pushing", 5)
            raise ReadTimeoutError(None, "", "")  # type: ignore[arg-type]

        engine = Engine(**{str(REF): TOLD})
        engine.events = silent()  # type: ignore[assignment]
        store = LocalStore(api=engine, stall=10)
        with pytest.raises(RegistryError) as caught:
            store.push(REF, None, lambda _: None) if verb == "push" else store.pull(REF, None)

        told = str(caught.value)
        assert told.startswith(f"r.example: the {verb} of {REF} stands still: nothing moved for 10 s")
        assert engine.timeout == 60
