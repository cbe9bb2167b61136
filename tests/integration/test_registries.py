"""Reading and writing images in a real registry (distribution, TLS, htpasswd), and ECR in front of it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import ssl
import stat
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import bcrypt
import pytest
from doubles import certificates, proxy
from doubles.aws_front import DENIED, EXPIRED, THROTTLED, AwsFront, Fault
from doubles.ecr import EcrDouble

from lamina.errors import RegistryError
from lamina.process import SubprocessRunner
from lamina.refs import Reference
from lamina.registries.base import OCI_INDEX, OCI_MANIFEST
from lamina.registries.connect import oci_registry
from lamina.registries.credentials import Credential
from lamina.registries.ecr import EcrRegistry, ecr_registry
from lamina.registries.ecr_token import EcrSettings
from lamina.registries.http import HttpResponse, Request, Unreachable
from lamina.registries.oci import OciRegistry
from lamina.registries.transport import HttpTransport
from lamina.sandbox import registry as sandbox

USER, PASSWORD = "AWS", "correct horse battery staple"


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The registry under test."""

    address: str
    ca: Path

    def request(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, dict[str, str]]:
        """One request by hand, with the right password."""
        context = ssl.create_default_context(cafile=str(self.ca))
        connection = HTTPSConnection(self.address, context=context, timeout=10)
        pair = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        try:
            connection.request(method, path, body, {"Authorization": f"Basic {pair}", **headers})
            response = connection.getresponse()
            response.read()
            return response.status, {name.lower(): value for name, value in response.getheaders()}
        finally:
            connection.close()

    def blob(self, repository: str, content: bytes) -> dict[str, object]:
        """Upload a blob; its descriptor without a media type."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        status, headers = self.request("POST", f"/v2/{repository}/blobs/uploads/")
        assert status == 202
        where = urlsplit(headers["location"])
        status, _ = self.request("PUT", f"{where.path}?{where.query}&digest={digest}", content)
        assert status == 201
        return {"digest": digest, "size": len(content)}

    def image(self, repository: str, tag: str, *, says: str = "", layer: bytes = b"layer") -> str:
        """Upload an image oddly formatted, so that any re-serialisation would change it; its digest."""
        config = self.blob(repository, json.dumps({"os": "linux", "says": says}).encode())
        part = self.blob(repository, layer)
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **part}],
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config},
            "annotations": {"lamina.says": says, "é": "☺"},
        }
        raw = (json.dumps(document, indent=3, ensure_ascii=False) + "\n\n").encode()
        return self.put(repository, tag, raw, OCI_MANIFEST)

    def put(self, repository: str, tag: str, raw: bytes, media_type: str) -> str:
        """Upload a manifest; its digest."""
        status, headers = self.request(
            "PUT", f"/v2/{repository}/manifests/{tag}", raw, **{"Content-Type": media_type}
        )
        assert status == 201
        return headers["docker-content-digest"]

    def ref(self, name: str) -> Reference:
        """A reference in this registry."""
        return Reference.parse(f"{self.address}/{name}")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("registry")
    made = certificates.make(folder)
    htpasswd = folder / "htpasswd"
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(rounds=4)).decode()
    htpasswd.write_text(f"{USER}:{hashed}\n")
    runner, name = SubprocessRunner(), f"test-registries-{os.getpid()}"
    tls = (made.certificate, made.key)
    running = sandbox.up(runner, name=name, port=0, htpasswd=htpasswd, tls=tls, say=lambda line: None)
    try:
        yield Served(address=running.address, ca=made.ca)
    finally:
        sandbox.down(runner, name, purge=True)


@pytest.fixture
def docker_config(tmp_path: Path) -> Path:
    """A docker configuration of this test alone, with nothing in it yet."""
    folder = tmp_path / "docker"
    folder.mkdir()
    return folder


@pytest.fixture
def environ(
    served: Served, docker_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The environment of one test. Proxies and trust are the process' own: none, and our authority."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(served.ca))
    return {
        "DOCKER_CONFIG": str(docker_config),
        "HOME": str(tmp_path),
        "LAMINA_CACHE": str(tmp_path / "cache"),
    }


def log_in(docker_config: Path, address: str, password: str = PASSWORD) -> None:
    auth = Credential(username=USER, secret=password).encoded
    (docker_config / "config.json").write_text(json.dumps({"auths": {address: {"auth": auth}}}))


@pytest.fixture
def registry(served: Served, environ: dict[str, str], docker_config: Path) -> Iterator[OciRegistry]:
    log_in(docker_config, served.address)
    opened = oci_registry(SubprocessRunner(), served.address, environ=environ)
    yield opened
    opened.close()


def test_an_image_is_there_with_the_bytes_it_was_pushed_with(served: Served, registry: OciRegistry) -> None:
    digest = served.image("there/one", "v1", says="hello")
    found = registry.manifest(served.ref("there/one:v1"))
    assert found is not None
    assert found.digest == digest
    assert found.media_type == OCI_MANIFEST
    assert found.annotations["lamina.says"] == "hello"
    assert found.size == len(b"layer") + len(json.dumps({"os": "linux", "says": "hello"}))
    assert registry.manifest(served.ref(f"there/one@{digest}")) == found


def test_a_missing_tag_digest_or_repository_is_none(served: Served, registry: OciRegistry) -> None:
    served.image("there/two", "v1")
    nowhere = "sha256:" + "0" * 64
    for name in ("there/two:v2", f"there/two@{nowhere}", "never/pushed:v1"):
        assert registry.manifest(served.ref(name)) is None


def test_a_hundred_manifests_come_in_order(served: Served, registry: OciRegistry) -> None:
    digest = served.image("many/images", "v0", says="many")
    raw = registry.manifest(served.ref("many/images:v0")).raw  # type: ignore[union-attr]
    for number in range(1, 50):
        served.put("many/images", f"v{number}", raw, OCI_MANIFEST)
    refs = [served.ref(f"many/images:v{number}") for number in range(100)]
    found = registry.manifests(refs)
    assert list(found) == refs
    assert [manifest and manifest.digest for manifest in found.values()] == [digest] * 50 + [None] * 50


def test_a_retag_keeps_every_byte(served: Served, registry: OciRegistry) -> None:
    digest = served.image("retag/one", "v1", says="bytes")
    registry.retag(served.ref("retag/one:v1"), served.ref("retag/one:stable"))
    after = registry.manifest(served.ref("retag/one:stable"))
    before = registry.manifest(served.ref("retag/one:v1"))
    assert after is not None
    assert after.digest == digest
    assert after == before


@dataclass(slots=True)
class Spy:
    """A transport that records its requests."""

    real: HttpTransport
    sent: list[Request] = field(default_factory=list)

    def send(
        self, request: Request, *, sink: IO[bytes] | None = None, most: int | None = None
    ) -> HttpResponse:
        self.sent.append(request)
        return self.real.send(request, sink=sink)

    def close(self) -> None:
        self.real.close()


def test_a_retag_into_another_repository_mounts_the_blobs(
    served: Served, environ: dict[str, str], docker_config: Path
) -> None:
    digest = served.image("retag/from-dev", "v1", says="across", layer=b"x" * 100_000)
    log_in(docker_config, served.address)
    spy = Spy(HttpTransport())
    registry = oci_registry(SubprocessRunner(), served.address, environ=environ, transport=spy)
    registry.retag(served.ref("retag/from-dev:v1"), served.ref("retag/to-prod:v1"))
    assert not [request for request in spy.sent if request.method == "GET" and "/blobs/" in request.url]
    after = registry.manifest(served.ref("retag/to-prod:v1"))
    assert after is not None
    assert after.digest == digest
    for blob in (after.config, *after.layers):
        assert blob is not None
        assert served.request("HEAD", f"/v2/retag/to-prod/blobs/{blob.digest}")[0] == 200
    registry.close()


def test_an_index_is_retagged_with_its_images(served: Served, registry: OciRegistry) -> None:
    child = served.image("index/from", "amd64", says="child")
    size = len(registry.manifest(served.ref(f"index/from@{child}")).raw)  # type: ignore[union-attr]
    entry = {
        "mediaType": OCI_MANIFEST,
        "digest": child,
        "size": size,
        "platform": {"os": "linux", "architecture": "amd64"},
    }
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}, indent=1).encode()
    digest = served.put("index/from", "all", raw, OCI_INDEX)
    registry.retag(served.ref("index/from:all"), served.ref("index/to:all"))
    after = registry.manifest(served.ref("index/to:all"))
    assert after is not None
    assert after.digest == digest
    assert after.is_index
    assert after.platforms["linux/amd64"].digest == child
    assert registry.manifest(served.ref(f"index/to@{child}")) is not None


def test_retagging_a_missing_image_is_an_error(served: Served, registry: OciRegistry) -> None:
    with pytest.raises(RegistryError, match="does not exist, cannot tag it"):
        registry.retag(served.ref("never/pushed:v1"), served.ref("never/pushed:stable"))


def test_a_deleted_image_is_gone_and_deleting_it_again_is_fine(served: Served, registry: OciRegistry) -> None:
    digest = served.image("gone/one", "v1", says="gone")
    registry.delete(served.ref(f"gone/one@{digest}"))
    assert registry.manifest(served.ref("gone/one:v1")) is None
    registry.delete(served.ref(f"gone/one@{digest}"))


def test_a_tag_that_cannot_be_deleted_alone_names_the_alternative(
    served: Served, registry: OciRegistry
) -> None:
    served.image("gone/two", "v1", says="kept")
    with pytest.raises(RegistryError, match="delete by digest"):
        registry.delete(served.ref("gone/two:v1"))
    assert registry.manifest(served.ref("gone/two:v1")) is not None


def test_a_wrong_password_names_the_host_and_the_login(
    served: Served, environ: dict[str, str], docker_config: Path
) -> None:
    log_in(docker_config, served.address, "wrong-and-secret")
    registry = oci_registry(SubprocessRunner(), served.address, environ=environ)
    with pytest.raises(RegistryError) as caught:
        registry.manifests([served.ref("there/one:v1"), served.ref("there/two:v1")])
    text = str(caught.value)
    assert caught.value.exit_code == 5
    assert served.address in text
    assert "user name or password is wrong" in text
    assert f"docker login {served.address}" in text
    assert "wrong-and-secret" not in text
    registry.close()


def test_missing_credentials_differ_from_wrong_ones(served: Served, environ: dict[str, str]) -> None:
    registry = oci_registry(SubprocessRunner(), served.address, environ=environ)
    with pytest.raises(RegistryError, match=f"no credentials.*\n.*\n.*docker login {served.address}"):
        registry.check()
    registry.close()


def test_an_unknown_authority_is_a_tls_error_not_a_fallback_to_http(
    served: Served, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    registry = oci_registry(SubprocessRunner(), served.address, environ=environ)
    with pytest.raises(RegistryError, match=r"certificate[\s\S]*SSL_CERT_FILE"):
        registry.check()
    registry.close()


def test_a_refused_connection_says_so(environ: dict[str, str]) -> None:
    registry = oci_registry(SubprocessRunner(), "127.0.0.1:1", environ=environ)
    with pytest.raises(RegistryError, match=r"127.0.0.1:1: the registry cannot be reached: .*refused"):
        registry.manifest(Reference.parse("127.0.0.1:1/any:v1"))


def test_an_authority_in_dockers_folder_is_trusted_for_its_host_only(
    served: Served, environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    folder = tmp_path / "certs.d" / served.address
    folder.mkdir(parents=True)
    shutil.copy(served.ca, folder / "ca.crt")
    transport = HttpTransport(certs=tmp_path / "certs.d")
    assert transport.send(Request(method="GET", url=f"https://{served.address}/v2/")).status == 401
    elsewhere = served.address.replace("127.0.0.1", "localhost")
    with pytest.raises(Unreachable, match="certificate"):
        transport.send(Request(method="GET", url=f"https://{elsewhere}/v2/"))
    transport.close()


@pytest.mark.parametrize("secure", [False, True])
def test_a_proxy_of_the_environment_is_used(
    served: Served,
    environ: dict[str, str],
    docker_config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    secure: bool,
) -> None:
    digest = served.image("there/three", "v1", says="proxy")
    log_in(docker_config, "registry.test")
    made = certificates.make(tmp_path) if secure else None
    if made:
        both = tmp_path / "both.pem"
        both.write_text(made.ca.read_text() + Path(os.environ["SSL_CERT_FILE"]).read_text())
        monkeypatch.setenv("SSL_CERT_FILE", str(both))
    with proxy.leading_to(served.address, made) as running:
        monkeypatch.setenv("HTTPS_PROXY", running.url)
        registry = oci_registry(SubprocessRunner(), "registry.test", environ=environ)
        found = registry.manifest(Reference.parse("registry.test/there/three:v1"))
        assert found is not None
        assert found.digest == digest
        assert running.asked == [("registry.test:443", "Basic bWU6cHc=")]
        registry.close()


def test_a_proxy_that_fails_is_named_and_loopback_goes_without(
    served: Served, environ: dict[str, str], docker_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    registry = oci_registry(SubprocessRunner(), "registry.test", environ=environ)
    with pytest.raises(RegistryError, match=r"its proxy fails: connection refused[\s\S]*HTTPS_PROXY"):
        registry.check()
    registry.close()
    log_in(docker_config, served.address)
    direct = oci_registry(SubprocessRunner(), served.address, environ=environ)
    direct.check()
    direct.close()


def test_an_unknown_host_name_is_reported(environ: dict[str, str]) -> None:
    registry = oci_registry(SubprocessRunner(), "registry.invalid", environ=environ)
    with pytest.raises(RegistryError, match="no such host name"):
        registry.check()


def test_a_credential_helper_is_asked(
    served: Served, environ: dict[str, str], docker_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(docker_config.parent / "bin", "test-helper", served.address, monkeypatch)
    config = {"auths": {served.address: {"auth": "c3RhbGU6c3RhbGU="}}, "credHelpers": {}}
    config["credHelpers"][served.address] = "test-helper"
    (docker_config / "config.json").write_text(json.dumps(config))
    registry = oci_registry(SubprocessRunner(), served.address, environ=environ)
    registry.check()
    registry.close()


def helper(folder: Path, name: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a docker-credential-<name> on the PATH which knows the password of one host."""
    folder.mkdir()
    answer = json.dumps({"ServerURL": host, "Username": USER, "Secret": PASSWORD})
    script = folder / f"docker-credential-{name}"
    script.write_text(f"""#!/bin/sh
read -r host
[ "$1" = get ] && [ "$host" = "{host}" ] && echo '{answer}' && exit 0
echo 'credentials not found in native keychain'; exit 1
""")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@contextmanager
def scripted(
    answer: Callable[[BaseHTTPRequestHandler], tuple[int, dict[str, str], bytes]],
    tls: certificates.Certificates | None = None,
) -> Iterator[str]:
    """A server on loopback that misbehaves, plain HTTP by default; its host and port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, headers, body = answer(self)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_PUT(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate, tls.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST}).encode()


def test_too_many_requests_are_waited_out_over_plain_http(environ: dict[str, str]) -> None:
    seen = []

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        if request.path == "/v2/":
            return 200, {}, b"{}"
        seen.append(request.path)
        if len(seen) < 3:
            return 429, {"Retry-After": "0"}, b'{"errors":[{"code":"TOOMANYREQUESTS"}]}'
        return 200, {"Content-Type": OCI_MANIFEST}, MANIFEST

    with scripted(answer) as address:
        registry = oci_registry(SubprocessRunner(), address, environ=environ)
        found = registry.manifest(Reference.parse(f"{address}/busy:v1"))
        assert found is not None
        assert found.raw == MANIFEST
        assert len(seen) == 3
        registry.close()


def test_a_bearer_token_is_fetched_from_the_service_the_registry_names(
    environ: dict[str, str], docker_config: Path
) -> None:
    asked = []

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        shown = request.headers.get("Authorization", "")
        if request.path.startswith("/token"):
            asked.append(request.path)
            pair = Credential(username=USER, secret=PASSWORD).encoded
            return (200, {}, b'{"token": "t0k3n"}') if shown == f"Basic {pair}" else (401, {}, b"{}")
        if shown != "Bearer t0k3n":
            realm = f'Bearer realm="http://{request.headers["Host"]}/token",service="double"'
            return 401, {"WWW-Authenticate": realm}, b"{}"
        return 200, {"Content-Type": OCI_MANIFEST}, MANIFEST

    with scripted(answer) as address:
        log_in(docker_config, address)
        registry = oci_registry(SubprocessRunner(), address, environ=environ)
        refs = [Reference.parse(f"{address}/team/image:{tag}") for tag in ("v1", "v2")]
        assert all(registry.manifests(refs[:1]).values())
        assert all(registry.manifests(refs).values())
        assert asked == ["/token?service=double&scope=repository%3Ateam%2Fimage%3Apull"]
        registry.close()


def test_authorization_does_not_follow_to_another_host_and_netrc_adds_none(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password pw\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    shown: dict[str, str | None] = {}

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        shown[request.path] = request.headers.get("Authorization")
        onward = {"/v2/a": "/v2/b", "/v2/b": f"http://localhost:{request.server.server_address[1]}/v2/c"}  # type: ignore[attr-defined]
        if request.path in onward:
            return 307, {"Location": onward[request.path]}, b""
        return 200, {}, b"blob"

    transport = HttpTransport()
    with scripted(answer) as address:
        headers = {"Authorization": "Bearer t0k3n"}
        sink = io.BytesIO()
        got = transport.send(Request(method="GET", url=f"http://{address}/v2/a", headers=headers), sink=sink)
        transport.send(Request(method="GET", url=f"http://{address}/v2/d"))
    assert (got.status, sink.getvalue()) == (200, b"blob")
    assert shown == {"/v2/a": "Bearer t0k3n", "/v2/b": "Bearer t0k3n", "/v2/c": None, "/v2/d": None}
    transport.close()


def test_a_write_that_is_redirected_to_a_page_is_an_error(environ: dict[str, str]) -> None:
    """A login page in between answers 302 and then 200; nothing was tagged."""

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        length = int(request.headers.get("Content-Length") or 0)
        request.rfile.read(length)
        if request.command == "PUT":
            return 302, {"Location": "/login"}, b""
        return 200, {"Content-Type": OCI_MANIFEST}, MANIFEST

    with scripted(answer) as address:
        registry = oci_registry(SubprocessRunner(), address, environ=environ)
        ref = Reference.parse(f"{address}/team/image:v1")
        with pytest.raises(RegistryError, match="answered 302, cannot tag"):
            registry.retag(ref, ref.with_tag("stable"))
        registry.close()


def test_a_redirect_from_https_to_http_is_not_followed(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = certificates.make(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.ca))
    with scripted(lambda request: (302, {"Location": "http://localhost/"}, b""), made) as address:
        transport = HttpTransport()
        with pytest.raises(Unreachable, match="redirected from https to http"):
            transport.send(Request(method="GET", url=f"https://{address}/v2/"))
        transport.close()


def test_an_answer_that_is_cut_off_is_asked_for_again(environ: dict[str, str]) -> None:
    seen = []

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        if request.path == "/v2/":
            return 200, {}, b"{}"
        seen.append(request.path)
        if len(seen) == 1:
            request.close_connection = True
            return 200, {"Content-Length": "999", "Content-Type": OCI_MANIFEST}, MANIFEST
        return 200, {"Content-Type": OCI_MANIFEST}, MANIFEST

    with scripted(answer) as address:
        registry = oci_registry(SubprocessRunner(), address, environ=environ)
        found = registry.manifest(Reference.parse(f"{address}/busy:v1"))
        assert found is not None
        assert (found.raw, len(seen)) == (MANIFEST, 2)
        registry.close()


# --- ECR ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def double(served: Served) -> EcrDouble:
    return EcrDouble(endpoint=f"https://{served.address}", user=USER, password=PASSWORD)


@pytest.fixture(scope="module")
def front(double: EcrDouble) -> Iterator[AwsFront]:
    with AwsFront(doubles=(double,)) as running:
        yield running


@pytest.fixture
def aws(front: AwsFront, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of one test: AWS' client reads the process' own, we read the mapping."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    environ |= front.environ(AWS_CONFIG_FILE="/nonexistent", AWS_SHARED_CREDENTIALS_FILE="/nonexistent")
    for name, value in environ.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    front.calls.clear()
    return environ


def in_ecr(environ: dict[str, str], **settings: str) -> EcrRegistry:
    return ecr_registry(SubprocessRunner(), EcrSettings(**settings), environ=environ)  # type: ignore[arg-type]


def test_ecr_hands_out_a_token_and_the_images_behind_it(
    served: Served, front: AwsFront, aws: dict[str, str]
) -> None:
    digest = served.image("ecr/one", "v1", says="ecr")
    registry = in_ecr(aws)
    assert registry.address == served.address
    found = registry.manifests([served.ref("ecr/one:v1"), served.ref("ecr/one:v2")])
    assert [manifest and manifest.digest for manifest in found.values()] == [digest, None]
    assert registry.account == "123456789012"
    assert front.calls == ["GetAuthorizationToken"]
    registry.close()


def test_a_token_is_reused_by_the_next_run_while_it_is_valid(
    served: Served, front: AwsFront, aws: dict[str, str]
) -> None:
    first, second = in_ecr(aws), in_ecr(aws)
    assert first.login().source == "ecr token"
    login = second.login()
    assert (login.source, login.host) == ("still valid", served.address)
    second.check()
    assert front.calls == ["GetAuthorizationToken"]
    config = second.docker.path / "config.json"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert stat.S_IMODE(config.parent.stat().st_mode) == 0o700
    second.close()


def test_an_expiry_in_the_past_is_good_for_this_run_only(
    served: Served, front: AwsFront, double: EcrDouble, aws: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(double, "token_seconds", None)  # as moto answers
    registry = in_ecr(aws)
    assert registry.login().expires is None
    registry.check()
    assert front.calls == ["GetAuthorizationToken"]
    assert in_ecr(aws).login().source == "ecr token"
    registry.close()


def test_a_rejected_token_is_replaced_once(served: Served, front: AwsFront, aws: dict[str, str]) -> None:
    stale = in_ecr(aws)
    stale.login()
    old = Credential(username=USER, secret="revoked")
    stale.docker.write(served.address, old, stale.login().expires)
    registry = in_ecr(aws)
    assert registry.login().source == "still valid"
    registry.check()
    assert front.calls == ["GetAuthorizationToken"] * 2
    registry.close()


def test_a_credential_helper_beats_the_token(
    served: Served,
    front: AwsFront,
    aws: dict[str, str],
    docker_config: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    helper(docker_config.parent / "bin", "ecr-login", served.address, monkeypatch)
    (docker_config / "config.json").write_text(json.dumps({"credHelpers": {served.address: "ecr-login"}}))
    registry = in_ecr(aws, host=served.address)
    assert registry.login().source == "credential helper ecr-login"
    registry.check()
    assert front.calls == []
    assert json.loads((registry.docker.path / "config.json").read_text()).get("auths", {}) == {}
    registry.close()


def test_repositories_are_found_missing_and_created(front: AwsFront, aws: dict[str, str]) -> None:
    registry = in_ecr(aws, prefix="team")
    names = [f"image-{number}" for number in range(3)]
    registry.create_repository(names[0])
    assert registry.missing_repositories(names) == (names[1], names[2])
    for name in names:
        registry.create_repository(name)
    assert registry.missing_repositories(names) == ()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (EXPIRED, "expired"),
        (DENIED, "ecr:GetAuthorizationToken"),
        (Fault(code="UnrecognizedClientException", message="The security token is invalid"), "not accept"),
    ],
    ids=["expired", "denied", "invalid"],
)
def test_refusals_of_aws_name_the_next_step(
    front: AwsFront, aws: dict[str, str], fault: Fault, told: str
) -> None:
    front.play("GetAuthorizationToken", fault)
    with pytest.raises(RegistryError, match=told) as caught:
        in_ecr(aws).login()
    assert all(problem.hint for problem in caught.value.problems)
    assert caught.value.exit_code == 5


def test_throttling_is_waited_out(front: AwsFront, aws: dict[str, str]) -> None:
    front.play("GetAuthorizationToken", THROTTLED, times=2)
    assert in_ecr(aws).login().source == "ecr token"
    assert len(front.calls) == 3
