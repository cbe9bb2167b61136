"""Questions to an engine over a unix socket, asked of a real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import ThreadingUnixStreamServer

import pytest

from lamina.errors import EngineError
from lamina.execute.engine import find_engine
from lamina.process import SubprocessRunner
from lamina.provider import NoProvider
from lamina.refs import Reference
from lamina.registries.engine_socket import EngineSocket
from lamina.registries.local import LocalStore

APP = Reference.parse("registry.example.com:5000/team/app:v1")
ANSWERS: dict[str, tuple[int, object]] = {
    "/version": (200, {"ApiVersion": "1.48"}),
    "/info": (200, {"ServerVersion": "28.1.0", "Architecture": "x86_64"}),
    f"/images/{APP}/json": (
        200,
        {
            "Id": "sha256:aaa",
            "Size": 3,
            "Os": "linux",
            "Architecture": "amd64",
            "RootFS": {"Layers": ["sha256:low", "sha256:top"]},
        },
    ),
    f"/images/{APP}/history": (200, [{"Size": 2}, {"Size": 0}, {"Size": 1}]),
    "/images/short/json": (200, "{}"),
    "/images/gone/json": (404, {"message": "No such image: gone"}),
    "/images/broken/json": (500, {"message": "layer\ndoes not exist"}),
    "/images/odd/json": (200, "<html>"),
}
CUT = b'{"stream"'


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, found = ANSWERS[self.path]
        body = found.encode() if isinstance(found, str) else json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) + ("short" in self.path)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        said = {b"broken": {"error": "no space left"}}.get(sent, {"stream": f"Loaded {self.path}"})
        self.send_response(403 if sent == b"refused" else 200)
        if sent.startswith(b"cut") and self.request_version == "HTTP/1.1":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"9\r\n" + CUT + b"\r\n0\r\n\r\n" if sent == b"cut line" else b"40\r\n" + CUT)
            return
        self.end_headers()
        self.wfile.write(CUT if sent.startswith(b"cut") else json.dumps(said).encode() + b"\n")

    def address_string(self) -> str:
        return "a socket"

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "engine.sock"
    with ThreadingUnixStreamServer(str(path), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"unix://{path}"
        server.shutdown()


def test_images_are_looked_up_without_docker_py(url: str) -> None:
    store = LocalStore(url)

    found = store.images((APP, Reference.parse("gone")))

    image = found[APP]
    assert image is not None
    assert (image.id, image.size, image.platform) == ("sha256:aaa", 3, "linux/amd64")
    assert found[Reference.parse("gone")] is None


def test_layers_are_listed_without_docker_py(url: str) -> None:
    assert LocalStore(url).layers(APP) == (("sha256:low", 1), ("sha256:top", 2))


def test_an_archive_is_loaded_without_docker_py(url: str) -> None:
    store = LocalStore(url)

    store.load(APP, b"archive")
    with pytest.raises(EngineError, match=f"the engine cannot load {APP}: no space left"):
        store.load(APP, b"broken")
    with pytest.raises(EngineError, match=f"the engine cannot load {APP}: Forbidden"):
        store.load(APP, b"refused")


@pytest.mark.parametrize("archive", [b"cut line", b"cut chunk"])
@pytest.mark.parametrize("over", ["unix", "tcp"])
def test_an_engine_that_ends_while_it_loads(
    url: str, over: str, archive: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        store = LocalStore(url if over == "unix" else f"tcp://127.0.0.1:{server.server_port}")

        with pytest.raises(EngineError, match=f"does not answer, cannot load {APP}"):
            store.load(APP, archive)

        store.close()
        server.shutdown()


def test_the_engine_is_found(url: str) -> None:
    engine = find_engine(SubprocessRunner(), NoProvider(), env={"DOCKER_HOST": url}, start=False)

    assert (engine.version, engine.architecture, engine.host) == ("28.1.0", "amd64", url)
    assert str(engine) == f"Docker engine 28.1.0 at {url}"


@pytest.mark.parametrize(
    ("info", "says"),
    [
        ({"ServerVersion": "20.10.24"}, "the Docker engine at {url} is 20.10.24\n  allowed: 24.0 or newer"),
        ({"ServerVersion": "3.4.4", "BuildahVersion": "1.23.1"}, "Podman at {url} is 3.4.4\n  allowed: 4.3"),
        ({"ServerVersion": "4.3.1", "BuildahVersion": "1.28.2"}, "Podman engine 4.3.1 at {url}"),
    ],
)
def test_podman_is_known_by_its_buildah_and_has_versions_of_its_own(
    url: str, info: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ANSWERS, "/info", (200, info))
    try:
        found = str(find_engine(SubprocessRunner(), NoProvider(), env={"DOCKER_HOST": url}, start=False))
    except EngineError as error:
        found = str(error)

    assert found.startswith(says.format(url=url))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("broken", "the engine cannot inspect broken: layer does not exist"),
        ("odd", "the Docker engine does not answer, cannot inspect odd"),
        ("short", "the Docker engine does not answer, cannot inspect short"),
    ],
)
def test_failures_are_errors_of_the_engine(url: str, name: str, says: str) -> None:
    with pytest.raises(EngineError) as caught:
        EngineSocket(url, timeout=5).image(Reference.parse(name))

    assert caught.value.problems[0].what == says
    assert caught.value.problems[0].where == url


def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    url = f"unix://{tmp_path / 'none'}"

    with pytest.raises(EngineError, match=r"there is no Docker engine at .*: no such file or directory"):
        EngineSocket(url, timeout=5).info()
    with pytest.raises(EngineError, match=r"no Docker engine answers at .*: no such file or directory"):
        find_engine(SubprocessRunner(), NoProvider(), env={"DOCKER_HOST": url}, start=False)
