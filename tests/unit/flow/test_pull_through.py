"""Base images that come through a cache in the project's own ECR: other references, the same identities."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from lamina.codebuild.build import outside_images
from lamina.declare.lockfile import LOCK_FILE, Lock, Pin
from lamina.flow.lock import make_lock, read_pins
from lamina.flow.pull_through import through_caches
from lamina.flow.session import Session
from lamina.refs import Reference
from lamina.registries.http import HttpResponse, Request
from memory import HOST, MemoryRegistry, Programs, Shop

from ..conftest import RUNTIME, Repo

CACHED = "ecr-public/lambda/python"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:ecr-pullthroughcache/hub-AbCdEf"
ECR = f"""
[tool.lamina.ecr]
host = "{HOST}"
pull-through = ["public.ecr.aws", {{ registry = "docker.io", secret = "{SECRET}" }}]
"""


@dataclass(slots=True)
class Ecr(MemoryRegistry):
    """ECR with pull-through caches: it fetches what it is asked for by a tag, and by nothing else."""

    upstream: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """Repository in the cache, and tag -> the manifest that the other registry has."""
    denied: bool = False

    def send(
        self, request: Request, *, sink: IO[bytes] | None = None, most: int | None = None
    ) -> HttpResponse:
        found = re.search(r"/v2/(.+)/manifests/(.+)", request.url)
        if found and self.denied and "/ecr-public/" in request.url:
            self.asked.append(f"{request.method} {request.url}")
            return HttpResponse(status=403, body=b'{"errors":[{"code":"DENIED","message":"not authorized"}]}')
        if found and (raw := self.upstream.get((found[1], found[2]))):
            self._put(found[1], found[2], raw)
        return MemoryRegistry.send(self, request, sink=sink, most=most)


@pytest.fixture
def ecr() -> Ecr:
    return Ecr()


@pytest.fixture
def digest(ecr: Ecr) -> str:
    """Of the runtime as its registry has it."""
    aside = MemoryRegistry()
    digest = aside.push(Reference.parse(f"{HOST}/{CACHED}:3.13"), {})
    ecr.upstream[CACHED, "3.13"] = aside.manifests[CACHED, "3.13"]
    ecr.blobs |= aside.blobs
    return digest


@pytest.fixture
def shop(repo: Repo, ecr: Ecr, digest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("LAMINA_CACHE", str(tmp_path / "cache"))
    repo.image("app", f"FROM {RUNTIME}", "COPY src /src")
    repo.write("src/a.py", "A = 1\n")
    repo.config(ECR)
    repo.write(LOCK_FILE, Lock().with_pin(Pin(name=RUNTIME, digest=digest)).render())
    return Shop(repo, ecr, Programs(ecr))


def opened(shop: Shop, registry: str = "ecr") -> Session:
    return shop.open(registry=registry)


def pulled(session: Session) -> str:
    outside = read_pins(session, ["app"])
    after = through_caches(session, outside, ["app"])
    assert after.identities == outside.identities
    return after.references["app"][RUNTIME]


def test_the_first_build_lets_ecr_fetch_the_image_by_its_tag_and_pulls_the_locked_digest(
    shop: Shop, ecr: Ecr, digest: str
) -> None:
    assert pulled(opened(shop)) == f"{HOST}/{CACHED}@{digest}"
    by_tag = f"GET https://{HOST}/v2/{CACHED}/manifests/3.13"
    assert ecr.asked.count(by_tag) == 1

    ecr.asked.clear()
    assert pulled(opened(shop)) == f"{HOST}/{CACHED}@{digest}"
    assert by_tag not in ecr.asked


def test_without_a_rule_in_another_registry_and_offline_nothing_is_asked(
    shop: Shop, ecr: Ecr, digest: str, repo: Repo
) -> None:
    name = f"{RUNTIME.partition(':')[0]}@{digest}"

    assert pulled(opened(shop, registry=HOST)) == name
    assert pulled(shop.open(registry="ecr", offline=True)) == name
    repo.config(ECR.replace("pull-through", "# pull-through"))
    assert pulled(opened(shop)) == name
    assert not [each for each in ecr.asked if CACHED in each]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("denied", "not authorized"),
        ("absent", f"ECR did not fetch {HOST}/{CACHED}"),
        ("moved", f"the tag of {HOST}/{CACHED} names another image than lamina.lock"),
    ],
)
def test_what_a_cache_does_not_have_comes_from_its_own_registry_and_a_note_says_why(
    shop: Shop, ecr: Ecr, digest: str, change: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ecr.denied = change == "denied"
    if change == "absent":
        ecr.upstream.clear()
    if change == "moved":
        ecr.push(Reference.parse(f"{HOST}/{CACHED}:3.13"), {"an": "other"})
        ecr.upstream.clear()

    assert pulled(opened(shop)) == f"{RUNTIME.partition(':')[0]}@{digest}"
    shown = capsys.readouterr()
    assert f"{RUNTIME} comes from public.ecr.aws itself: " in shown.out + shown.err
    assert told in " ".join((shown.out + shown.err).split())


def test_an_image_that_its_dockerfile_names_by_digest_comes_from_the_cache_if_it_is_there(
    shop: Shop, ecr: Ecr, digest: str, repo: Repo
) -> None:
    name = f"public.ecr.aws/lambda/python@{digest}"
    repo.image("app", f"FROM {name}", "COPY src /src")
    outside = read_pins(opened(shop), ["app"])

    assert through_caches(opened(shop), outside, ["app"]).references == {"app": {}}
    ecr.manifests[CACHED, digest] = ecr.upstream[CACHED, "3.13"]
    assert through_caches(opened(shop), outside, ["app"]).references == {
        "app": {name: f"{HOST}/{CACHED}@{digest}"}
    }


def test_official_images_of_docker_hub_have_a_folder_of_their_own(shop: Shop, ecr: Ecr, repo: Repo) -> None:
    pins = Lock()
    for name, path in (
        ("python:3.13", "docker-hub/library/python"),
        ("grafana/k6:1", "docker-hub/grafana/k6"),
    ):
        tag = name.partition(":")[2]
        pins = pins.with_pin(Pin(name=name, digest=ecr.push(Reference.parse(f"{HOST}/{path}:{tag}"), {})))
    repo.write(LOCK_FILE, pins.render())
    repo.image("app", "FROM python:3.13 AS a", "FROM grafana/k6:1", "COPY --from=a /x /x")
    session = opened(shop)

    found = through_caches(session, read_pins(session, ["app"]), ["app"]).references["app"]

    assert {name: each.partition("@")[0] for name, each in found.items()} == {
        "python:3.13": f"{HOST}/docker-hub/library/python",
        "grafana/k6:1": f"{HOST}/docker-hub/grafana/k6",
    }


def test_the_role_of_codebuild_may_pull_from_the_cache_too(shop: Shop) -> None:
    found = {str(each) for each in outside_images(opened(shop))}

    assert {RUNTIME, f"{HOST}/{CACHED}:3.13"} <= found
    assert not [each for each in outside_images(opened(shop, registry=HOST)) if each.pull_host == HOST]


def test_a_lock_is_what_the_cache_has(shop: Shop, ecr: Ecr, digest: str, repo: Repo) -> None:
    repo.remove(LOCK_FILE)

    locked = make_lock(opened(shop), refresh=False, dry_run=True)

    assert locked.after.pins[RUNTIME].digest == digest
    assert not [each for each in ecr.asked if "public.ecr.aws" in each]


def test_a_lock_asks_the_registry_itself_when_the_cache_refuses(
    shop: Shop, ecr: Ecr, repo: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    repo.remove(LOCK_FILE)
    ecr.denied = True

    assert make_lock(opened(shop), refresh=False, dry_run=True).after.pins == {}

    assert [each for each in ecr.asked if "https://public.ecr.aws/v2/lambda/python/manifests/3.13" in each]
    assert "comes from public.ecr.aws itself" in capsys.readouterr().out


def test_the_role_of_the_registry_reads_images_that_a_dockerfile_names_there(shop: Shop, repo: Repo) -> None:
    own = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    mine, theirs = (Reference.parse(f"{host}/shared:1") for host in (own, own.replace("1", "2", 1)))
    plain = f'[tool.lamina.ecr]\nhost = "{own}"\n'
    repo.config(plain)
    session = opened(shop)
    assert session.registries.upstream(mine) is not session.registry

    repo.config(f'{plain}role = "arn:aws:iam::123456789012:role/images"\n')
    session = opened(shop)
    assert session.registries.upstream(mine) is session.registry
    assert session.registries.upstream(theirs) is not session.registry
