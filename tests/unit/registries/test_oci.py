from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import pytest

from lamina.errors import RegistryError
from lamina.refs import Reference
from lamina.registries.base import (
    ACCEPTED,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    sha256,
)
from lamina.registries.connect import oci_registry
from lamina.registries.credentials import Credential
from lamina.registries.http import HttpResponse, Request, Unreachable
from lamina.registries.oci import OciRegistry
from lamina.registries.oci_inventory import OciInventory
from lamina.registries.session import BackoffPolicy, RegistrySession

V2 = "https://r.example/v2"
REF = Reference.parse("r.example/team/app:v1")
URL = f"{V2}/team/app/manifests/v1"
RAW = b'{ "schemaVersion": 2,\n "config": {"digest": "sha256:c", "size": 3}, "layers": [] }\n'
FOUND = HttpResponse(status=200, headers={"content-type": f"{OCI_MANIFEST}; charset=utf-8"}, body=RAW)
ABSENT = HttpResponse(status=404, body=b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')


def error(status: int, code: str = "", message: str = "") -> HttpResponse:
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return HttpResponse(status=status, body=body)


def test_a_manifest_is_one_get_that_accepts_all_four_kinds(transport, registry: OciRegistry) -> None:
    transport.on("GET", URL, FOUND)
    manifest = registry.manifest(REF)
    assert manifest is not None
    assert (manifest.media_type, manifest.raw, manifest.digest) == (OCI_MANIFEST, RAW, sha256(RAW))
    assert transport.sent[-1].headers["Accept"].split(", ") == list(ACCEPTED)
    assert len(transport.asked()) == 1


def test_a_digest_is_asked_for_once_until_something_is_deleted(transport, registry: OciRegistry) -> None:
    exact = REF.with_digest(sha256(RAW))
    transport.on("GET", URL, FOUND)
    transport.on("DELETE", f"{V2}/team/app/manifests/v1", HttpResponse(status=202))
    transport.on("GET", f"{V2}/team/app/manifests/{exact.digest}", FOUND, ABSENT)
    other = Reference.parse(f"r.example/team/prod@{exact.digest}")
    transport.on("GET", f"{V2}/team/prod/manifests/{exact.digest}", ABSENT)

    assert registry.manifest(REF) == registry.manifest(exact)
    assert registry.manifest(other) is None
    assert registry.manifest(REF)
    assert transport.asked() == [
        f"GET {URL}",
        f"GET {V2}/team/prod/manifests/{exact.digest}",
        f"GET {URL}",
    ]
    registry.delete(REF)
    assert registry.manifest(exact)
    assert transport.asked()[-1] == f"GET {V2}/team/app/manifests/{exact.digest}"


def test_the_digest_of_a_tag_is_one_head_where_the_registry_reports_it(
    transport, registry: OciRegistry
) -> None:
    named = HttpResponse(status=200, headers={"docker-content-digest": sha256(RAW)})
    transport.on("HEAD", URL, named, HttpResponse(status=200), ABSENT)
    transport.on("GET", URL, FOUND)

    assert registry.digest(REF) == sha256(RAW)
    assert transport.asked() == [f"HEAD {URL}"]
    assert registry.digest(REF) == sha256(RAW)
    assert transport.asked()[-1] == f"GET {URL}"
    assert registry.digest(REF) is None


def test_blobs_are_looked_for_by_one_head_each_and_only_404_is_lost(transport, registry: OciRegistry) -> None:
    here, gone, denied = (Descriptor(media_type="", digest=f"sha256:{each}", size=1) for each in "abc")
    windows = Descriptor(
        media_type="application/vnd.oci.image.layer.nondistributable.v1.tar", digest="d", size=1
    )
    for blob, answer in (
        (here, HttpResponse(status=200)),
        (gone, HttpResponse(status=404)),
        (denied, error(403, "DENIED")),
    ):
        transport.on("HEAD", f"{V2}/team/app/blobs/{blob.digest}", answer)

    other = REF.with_tag("v2")
    lost = registry.lost({REF: (here, gone, denied, windows), other: (gone,)})

    assert lost == {REF: (gone.digest,), other: (gone.digest,)}
    assert sorted(transport.asked()) == [f"HEAD {V2}/team/app/blobs/sha256:{each}" for each in "abc"]


def test_tags_are_listed_page_by_page(transport, registry: OciRegistry) -> None:
    first = f"{V2}/team/app/tags/list?n=1000"
    later = f"{V2}/team/app/tags/list?n=1000&last=b"
    link = {"link": '</v2/team/app/tags/list?n=1000&last=b>; rel="next"'}
    transport.on("GET", first, HttpResponse(status=200, headers=link, body=b'{"tags": ["a", "b"]}'))
    transport.on("GET", later, HttpResponse(status=200, body=b'{"tags": null}'))
    assert registry.tags(REF) == ("a", "b")
    transport.on("GET", first, error(404, "NAME_UNKNOWN"))
    assert registry.tags(REF) == ()


def _published(transport, digest: str, manifest: bytes, *blobs: bytes) -> None:
    headers = {"content-type": str(json.loads(manifest)["mediaType"])}
    for handle in (digest, sha256(manifest)):
        url = f"{V2}/team/app/manifests/{handle}"
        transport.on("GET", url, HttpResponse(status=200, headers=headers, body=manifest))
    for blob in blobs:
        transport.on("GET", f"{V2}/team/app/blobs/{sha256(blob)}", HttpResponse(status=200, body=blob))


def _image(config: bytes) -> bytes:
    told = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(config), "size": 5}
    return json.dumps({"mediaType": OCI_MANIFEST, "config": told, "layers": []}).encode()


@pytest.mark.parametrize(
    ("config", "built"),
    [
        (b'{"created": "2030-01-02T03:04:05.123456789Z"}', datetime(2030, 1, 2, 3, 4, 5, 123456, UTC)),
        (b'{"created": "1980-01-01T00:00:00Z"}', None),
        (b'{"created": "1970-01-01T00:00:00Z"}', None),
        (b'{"created": "yesterday"}', None),
        (b"{}", None),
        (b"[]", None),
        (b"no JSON", None),
    ],
)
def test_a_plain_registry_tells_when_an_image_was_built_if_that_is_real(
    transport, registry: OciRegistry, config: bytes, built: datetime | None
) -> None:
    image = _image(config)
    transport.on(
        "GET", f"{V2}/team/app/tags/list?n=1000", HttpResponse(status=200, body=b'{"tags": ["v1", "v2"]}')
    )
    for tag in ("v1", "v2"):
        _published(transport, tag, image, config)
    (found,) = OciInventory(registry).stored("app")
    assert (found.tags, found.size, found.pushed) == (("v1", "v2"), 5, built)


def test_manifests_that_an_index_lists_are_listed_as_well(transport, registry: OciRegistry) -> None:
    config = b'{"created": "2030-01-02T03:04:05Z"}'
    image = _image(config)
    listed = [{"digest": sha256(image), "size": 1}, {"digest": "sha256:" + "0" * 64, "size": 1}]
    index = json.dumps({"mediaType": OCI_INDEX, "manifests": listed}).encode()
    transport.on(
        "GET", f"{V2}/team/app/tags/list?n=1000", HttpResponse(status=200, body=b'{"tags": ["all"]}')
    )
    _published(transport, "all", index)
    _published(transport, sha256(image), image, config)
    transport.on("GET", f"{V2}/team/app/manifests/sha256:{'0' * 64}", ABSENT)
    found = {each.digest: each for each in OciInventory(registry).stored("app")}
    assert set(found) == {sha256(index), sha256(image)}
    assert found[sha256(index)].pushed is None


def test_a_manifest_that_is_not_deleted_is_reported(transport, registry: OciRegistry) -> None:
    here, there = ("sha256:" + each * 64 for each in "12")
    transport.on("DELETE", f"{V2}/team/app/manifests/{here}", HttpResponse(status=202))
    transport.on("DELETE", f"{V2}/team/app/manifests/{there}", error(405))
    told = dict(OciInventory(registry).remove("app", [here, there]))
    assert told[here] is None
    assert "does not delete" in str(told[there])


def test_a_blob_is_fetched_and_checked(transport, registry: OciRegistry) -> None:
    blob = Descriptor(media_type="", digest=sha256(b"layer"), size=5)
    url = f"{V2}/team/app/blobs/{blob.digest}"
    transport.on("GET", url, HttpResponse(status=200, body=b"layer"))
    sink = io.BytesIO()
    registry.blob(REF, blob, sink)
    assert sink.getvalue() == b"layer"
    transport.on("GET", url, HttpResponse(status=200, body=b"other"))
    with pytest.raises(RegistryError, match="do not match their digest"):
        registry.blob(REF, blob, io.BytesIO())
    transport.on("GET", url, error(404, "BLOB_UNKNOWN"))
    with pytest.raises(RegistryError, match=r"read r\.example/team/app"):
        registry.blob(REF, blob, io.BytesIO())


@pytest.mark.parametrize("code", ["MANIFEST_UNKNOWN", "NAME_UNKNOWN", ""])
def test_absent_is_none(transport, registry: OciRegistry, code: str) -> None:
    transport.on("GET", URL, error(404, code))
    assert registry.manifest(REF) is None


def test_bytes_that_belie_their_digest_are_refused(transport, registry: OciRegistry) -> None:
    wanted = "sha256:" + "1" * 64
    transport.on("GET", f"{V2}/team/app/manifests/{wanted}", FOUND)
    with pytest.raises(RegistryError, match="do not match their digest"):
        registry.manifest(REF.with_digest(wanted))
    headers = {"content-type": OCI_MANIFEST, "docker-content-digest": wanted}
    transport.on("GET", URL, HttpResponse(status=200, headers=headers, body=RAW))
    with pytest.raises(RegistryError, match="do not match their digest"):
        registry.manifest(REF)


def test_a_page_instead_of_a_manifest_is_reported(transport, registry: OciRegistry) -> None:
    transport.on("GET", URL, HttpResponse(status=200, body=b"<html>log in</html>"))
    with pytest.raises(RegistryError, match="is not an image manifest"):
        registry.manifest(REF)


def test_a_reference_of_another_registry_is_refused(transport, registry: OciRegistry) -> None:
    with pytest.raises(RegistryError, match="is not in this registry"):
        registry.manifest(Reference.parse("ghcr.io/team/app:v1"))


def test_a_server_that_is_not_a_registry_is_reported(transport, registry: OciRegistry) -> None:
    transport.on("GET", f"{V2}/", HttpResponse(status=404, body=b"<html>nginx</html>"))
    with pytest.raises(RegistryError, match="not an image registry: GET /v2/ was answered with 404"):
        registry.manifest(REF)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("name", "check the registry's name"),
        ("refused", "start the registry"),
        ("timeout", "HTTPS_PROXY"),
        ("tls", "SSL_CERT_FILE"),
    ],
)
def test_unreachable_is_reported_at_once_with_a_next_step(
    transport, registry: OciRegistry, clock, kind: str, told: str
) -> None:
    transport.on("GET", f"{V2}/", Unreachable(kind, "because"))  # type: ignore[arg-type]
    with pytest.raises(RegistryError, match=r"r.example: the registry cannot be reached: because") as caught:
        registry.manifests([REF, REF.with_tag("v2")])
    assert told in str(caught.value)
    assert len(transport.sent) == 1
    assert clock.slept == []


TLS_ONLY = [HttpResponse(status=400), Unreachable("lost", "connection reset by peer")]


def test_loopback_is_asked_over_plain_http(transport, clock) -> None:
    registry = _loopback(transport, clock)
    transport.on("GET", "http://localhost:5000/v2/", HttpResponse(status=200))
    transport.on("GET", "http://localhost:5000/v2/app/manifests/v1", FOUND)
    assert registry.manifest(Reference.parse("localhost:5000/app:v1")) is not None
    assert [request.url.partition(":")[0] for request in transport.sent] == ["http", "http"]


@pytest.mark.parametrize("plain", TLS_ONLY)
def test_loopback_that_refuses_plain_http_is_asked_over_https(transport, clock, plain) -> None:
    registry = _loopback(transport, clock)
    transport.on("GET", "http://localhost:5000/v2/", plain)
    transport.on("GET", "https://localhost:5000/v2/", HttpResponse(status=200))
    transport.on("GET", "https://localhost:5000/v2/app/manifests/v1", FOUND)
    assert registry.manifest(Reference.parse("localhost:5000/app:v1")) is not None


@pytest.mark.parametrize("plain", TLS_ONLY)
def test_loopback_with_an_untrusted_certificate_stays_https(transport, clock, plain) -> None:
    registry = _loopback(transport, clock)
    transport.on("GET", "http://localhost:5000/v2/", plain)
    transport.on("GET", "https://localhost:5000/v2/", Unreachable("tls", "self-signed certificate"))
    with pytest.raises(RegistryError, match="self-signed certificate"):
        registry.manifest(Reference.parse("localhost:5000/app:v1"))


@pytest.mark.parametrize("first", [HttpResponse(status=503), Unreachable("lost", "connection reset by peer")])
def test_loopback_that_fails_for_a_moment_is_asked_again(transport, clock, first) -> None:
    registry = _loopback(transport, clock)
    transport.on("GET", "http://localhost:5000/v2/", first, HttpResponse(status=200))
    transport.on("GET", "https://localhost:5000/v2/", Unreachable("tls", "wrong version number"))
    transport.on("GET", "http://localhost:5000/v2/app/manifests/v1", FOUND)
    assert registry.manifest(Reference.parse("localhost:5000/app:v1")) is not None


def _loopback(transport, clock) -> OciRegistry:
    return OciRegistry(
        "localhost:5000",
        RegistrySession(
            "localhost:5000", transport=transport, credential=lambda *, fresh: None, sleep=clock.sleep
        ),
    )


def test_docker_hub_is_asked_by_its_api_host_and_library_names(transport) -> None:
    session = RegistrySession("docker.io", transport=transport, credential=lambda *, fresh: None)
    transport.on("GET", "https://registry-1.docker.io/v2/", HttpResponse(status=200))
    transport.on("GET", "https://registry-1.docker.io/v2/library/python/manifests/3.13", FOUND)
    assert OciRegistry("docker.io", session).manifest(Reference.parse("python:3.13")) is not None


# --- asking again ---------------------------------------------------------------------------------------


def test_busy_registries_are_asked_again_when_they_say(transport, registry: OciRegistry, clock) -> None:
    busy = HttpResponse(status=429, headers={"retry-after": "7"})
    transport.on("GET", URL, busy, HttpResponse(status=503), Unreachable("lost", "reset"), FOUND)
    assert registry.manifest(REF) is not None
    assert clock.slept == [7.0, 0.5, 1.0]


def test_patience_ends_with_a_clear_error(transport, registry: OciRegistry, clock) -> None:
    transport.on("GET", URL, error(503, "UNAVAILABLE", "maintenance"))
    with pytest.raises(
        RegistryError, match=r"failed with 503, cannot read r.example/team/app:v1: maintenance"
    ):
        registry.manifest(REF)
    assert len(transport.asked()) == BackoffPolicy().attempts
    transport.on("GET", URL, error(429, "TOOMANYREQUESTS", "slow down"))
    with pytest.raises(RegistryError, match=r"too many requests.*slow down"):
        registry.manifest(REF)


def test_no_new_try_starts_after_the_budget(transport, registry: OciRegistry, clock) -> None:
    transport.on("GET", URL, HttpResponse(status=429, headers={"retry-after": "3600"}))
    with pytest.raises(RegistryError, match="too many requests"):
        registry.manifest(REF)
    assert sum(clock.slept) <= 60 + BackoffPolicy().longest


def test_pauses_grow_and_are_spread() -> None:
    backoff = BackoffPolicy(first=1.0, longest=5.0)
    assert [backoff.pause(attempt, None, 1.0) for attempt in (2, 3, 4, 5)] == [1.0, 2.0, 4.0, 5.0]
    assert backoff.pause(3, None, 0.0) == 1.0
    assert backoff.pause(2, 0.0, 0.0) == 0.0


# --- refusals -------------------------------------------------------------------------------------------


def guarded(transport, *accepted: str) -> None:
    """Basic authorization, as most private registries and ECR want it."""
    challenge = {"www-authenticate": 'Basic realm="r"'}

    def guard(request: Request) -> HttpResponse | None:
        shown = request.headers.get("Authorization")
        if shown in {f"Basic {Credential(username='me', secret=secret).encoded}" for secret in accepted}:
            return None
        return HttpResponse(status=401, headers=challenge, body=error(401, "UNAUTHORIZED", "who?").body)

    transport.guard = guard


def test_no_credentials_and_wrong_ones_are_distinguished(transport, registry, credentials) -> None:
    guarded(transport, "right")
    with pytest.raises(RegistryError, match="there are no credentials, cannot read") as caught:
        registry.manifest(REF)
    assert "docker login r.example" in str(caught.value)


def test_a_wrong_password_never_appears(transport, registry, credentials) -> None:
    guarded(transport, "right")
    credentials[0] = Credential(username="me", secret="wrong-one")
    with pytest.raises(RegistryError, match="user name or password is wrong") as caught:
        registry.manifest(REF)
    assert "wrong-one" not in str(caught.value) + repr(caught.value)
    assert caught.value.exit_code == 5


def test_a_hundred_refusals_are_one_problem_and_few_requests(transport, registry, credentials) -> None:
    credentials[0] = Credential(username="me", secret="old")
    guarded(transport)
    same = REF.with_tag("same")
    with pytest.raises(RegistryError) as caught:
        registry.manifests([same, *(REF.with_tag(f"v{n}") for n in range(99))])
    assert len({problem.hint for problem in caught.value.problems}) == 1
    assert len(transport.asked()) == 100


def test_an_expired_credential_is_renewed(transport, registry, credentials) -> None:
    credentials[:] = [Credential(username="me", secret="old"), Credential(username="me", secret="new")]
    old = f"Basic {credentials[0].encoded}"
    expired = error(403, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
    first = HttpResponse(status=401, headers={"www-authenticate": "Basic realm=r"})

    def guard(request: Request) -> HttpResponse | None:
        shown = request.headers.get("Authorization")
        return first if shown is None else expired if shown == old else None

    transport.guard = guard
    transport.on("GET", URL, FOUND)
    transport.on("GET", f"{V2}/", first)
    assert registry.manifest(REF) is not None
    assert credentials[0].secret == "new"


def test_forbidden_names_what_and_repeats_the_registry(transport, registry) -> None:
    transport.on("GET", URL, error(403, "DENIED", "User x is not authorized to perform: ecr:BatchGetImage"))
    with pytest.raises(
        RegistryError, match=r"not allowed to read r.example/team/app:v1: .*ecr:BatchGetImage"
    ):
        registry.manifest(REF)


# --- retag and delete -----------------------------------------------------------------------------------

PUT = f"{V2}/team/app/manifests/stable"


def test_a_retag_puts_the_same_bytes_with_their_media_type(transport, registry) -> None:
    docker = HttpResponse(status=200, headers={"content-type": DOCKER_MANIFEST}, body=RAW)
    transport.on("GET", URL, docker)
    transport.on("PUT", PUT, HttpResponse(status=201))
    registry.retag(REF, REF.with_tag("stable"))
    assert transport.asked() == [f"GET {URL}", f"PUT {PUT}"]
    assert transport.bodies[-1] == RAW
    assert transport.sent[-1].headers["Content-Type"] == DOCKER_MANIFEST


def test_an_immutable_tag_that_already_says_so_is_success(transport, registry) -> None:
    immutable = error(400, "TAG_INVALID", "The image tag 'stable' already exists … the tag is immutable.")
    transport.on("GET", URL, FOUND)
    transport.on("PUT", PUT, immutable)
    transport.on("GET", PUT, FOUND)
    registry.retag(REF, REF.with_tag("stable"))
    transport.on("GET", PUT, HttpResponse(status=200, headers={}, body=b"{}"))
    with pytest.raises(RegistryError, match="is immutable and names another image"):
        registry.retag(REF, REF.with_tag("stable"))


def test_a_repository_to_be_created_names_the_command(transport, registry) -> None:
    transport.on("GET", URL, FOUND)
    transport.on("PUT", PUT, error(404, "NAME_UNKNOWN", "The repository does not exist"))
    with pytest.raises(RegistryError, match=r"team/app does not exist[\s\S]*build-all --push --create"):
        registry.retag(REF, REF.with_tag("stable"))


TARGET = Reference.parse("r.example/team/prod:v1")
BLOB = f"{V2}/team/prod/blobs"
MOUNT = f"{BLOB}/uploads/?mount=sha256%3Ac&from=team%2Fapp"


def test_blobs_are_mounted_unless_they_are_there(transport, registry) -> None:
    transport.on("GET", URL, FOUND)
    transport.on("HEAD", f"{BLOB}/sha256:c", HttpResponse(status=404))
    transport.on("POST", MOUNT, HttpResponse(status=201))
    transport.on("PUT", f"{V2}/team/prod/manifests/v1", HttpResponse(status=201))
    registry.retag(REF, TARGET)
    transport.on("HEAD", f"{BLOB}/sha256:c", HttpResponse(status=200))
    transport.sent.clear()
    registry.retag(REF, TARGET)
    assert [request.method for request in transport.sent] == ["GET", "HEAD", "PUT"]


def test_blobs_are_copied_where_nothing_is_mounted(transport, registry) -> None:
    transport.on("GET", URL, FOUND)
    transport.on("HEAD", f"{BLOB}/sha256:c", HttpResponse(status=404))
    upload = "https://uploads.example/u/1?state=s"
    transport.on("POST", MOUNT, HttpResponse(status=202, headers={"location": upload}))
    transport.on("GET", f"{V2}/team/app/blobs/sha256:c", HttpResponse(status=200, body=b"abc"))
    transport.on("PUT", f"{upload}&digest=sha256%3Ac", HttpResponse(status=201))
    transport.on("PUT", f"{V2}/team/prod/manifests/v1", HttpResponse(status=201))
    registry.retag(REF, TARGET)
    assert b"abc" in transport.bodies


def test_blobs_alone_are_shared_with_another_repository(transport, registry) -> None:
    blobs = [Descriptor(media_type="application/x", digest=f"sha256:{name}", size=3) for name in "cd"]
    for blob in blobs:
        url = MOUNT.replace("%3Ac", f"%3A{blob.digest[-1]}")
        transport.on("POST", url, HttpResponse(status=201))

    registry.share(REF, TARGET, blobs)

    assert sorted(transport.asked()) == [f"POST {MOUNT}", f"POST {MOUNT.replace('%3Ac', '%3Ad')}"]


def test_our_credential_stays_with_the_registry(transport, registry, credentials) -> None:
    credentials[0] = Credential(username="me", secret="right")
    uploads = "https://uploads.example/u/1"
    transport.on("GET", f"{V2}/", HttpResponse(status=401, headers={"www-authenticate": "Basic realm=r"}))
    transport.on("GET", URL, FOUND)
    transport.on("HEAD", f"{BLOB}/sha256:c", HttpResponse(status=404))
    transport.on("POST", MOUNT, HttpResponse(status=202, headers={"location": uploads}))
    transport.on("GET", f"{V2}/team/app/blobs/sha256:c", HttpResponse(status=200, body=b"abc"))
    transport.on("PUT", f"{uploads}?digest=sha256%3Ac", HttpResponse(status=201))
    transport.on("PUT", f"{V2}/team/prod/manifests/v1", HttpResponse(status=201))
    registry.retag(REF, TARGET)
    for request in transport.sent[1:]:
        assert ("Authorization" in request.headers) == request.url.startswith(V2)


def test_a_manifest_is_written_after_its_blobs(transport, registry) -> None:
    transport.on(
        "POST", f"{V2}/team/app/blobs/uploads/", HttpResponse(status=202, headers={"location": "/up/1"})
    )
    upload = f"https://r.example/up/1?digest={sha256(b'abc').replace(':', '%3A')}"
    transport.on("PUT", upload, HttpResponse(status=201))
    transport.on("PUT", PUT, HttpResponse(status=201))

    registry.write(REF.with_tag("stable"), Manifest.of(RAW), b"abc")

    assert transport.asked()[1:] == [f"PUT {upload}", f"PUT {PUT}"]
    assert transport.bodies[-2:] == [b"abc", RAW]


def test_deleting_what_is_gone_is_success(transport, registry) -> None:
    transport.on("DELETE", URL, ABSENT)
    registry.delete(REF)


def test_a_registry_that_cannot_delete_a_tag_says_what_it_can(transport, registry) -> None:
    transport.on("DELETE", URL, error(405, "UNSUPPORTED"))
    with pytest.raises(RegistryError, match="delete by digest"):
        registry.delete(REF)


def test_repositories_come_with_the_first_push(transport, registry) -> None:
    assert registry.missing_repositories(["a", "b"]) == ()
    registry.create_repository("a")
    assert transport.sent == []


@pytest.mark.parametrize("stored", [None, "ended"])
def test_where_docker_has_no_credential_or_an_old_one_another_source_is_asked(
    transport, runner, tmp_path, stored: str | None
) -> None:
    old = {"r.example": {"auth": Credential(username="AWS", secret=stored).encoded}} if stored else {}
    (tmp_path / "config.json").write_text(json.dumps({"auths": old}))
    token = Credential(username="AWS", secret="token")
    challenge = HttpResponse(status=401, headers={"www-authenticate": 'Basic realm="r"'})
    good = f"Basic {token.encoded}"
    transport.guard = lambda request: None if request.headers.get("Authorization") == good else challenge
    transport.on("GET", URL, FOUND)
    environ = {"DOCKER_CONFIG": str(tmp_path)}

    registry = oci_registry(
        runner, "r.example", environ=environ, transport=transport, otherwise={"r.example": token}.get
    )

    assert registry.manifest(REF) is not None
