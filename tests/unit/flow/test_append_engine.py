"""Code changes in the engine's own store: what is loaded into it, and when a builder is needed after all."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from docker.errors import ImageNotFound

from lamina.errors import EngineError
from lamina.execute.append import APPENDED_KEY
from lamina.execute.engine import Engine
from lamina.execute.engine_content import read_content
from lamina.execute.kept_images import KEPT, KeptImage, keep_image, kept_image, newest_image
from lamina.execute.outcome import Outcome, Result
from lamina.flow.append import note_for_appends
from lamina.flow.build import build_images
from lamina.flow.plan import make_plan_only
from lamina.flow.seams import Seams
from lamina.flow.session import Session
from lamina.identify.code_copies import code_tag
from lamina.identify.fingerprint import FINGERPRINT_KEY
from lamina.identify.image import Image
from lamina.masks import Mask
from lamina.process import Completed
from lamina.registries.base import sha256
from lamina.registries.local import LocalStore
from memory import Shop

from ..conftest import Repo, ScriptedRunner
from .test_append import Team
from .test_append_requests import APP, BASE, OTHER, linked

__all__ = ["linked"]
HUB = "docker.io/library/"
ENGINE = Engine(
    host="unix:///none", docker=Path("docker"), buildx=("buildx",), version="28",
    architecture="amd64", containerd=True, private=False,
)  # fmt: skip


@dataclass
class EngineApi:
    """An engine with the containerd store: it knows nothing about an image that lacks content."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    loaded: list[list[str]] = field(default_factory=list)
    """The names in each archive."""
    failure: str = ""
    timeout: int = 60

    def load_image(self, archive: bytes, quiet: bool) -> Iterator[dict[str, str]]:
        assert quiet
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            files = {each.name: getattr(tar.extractfile(each), "read", bytes)() for each in tar}
        self.loaded.append([*files])
        if self.failure:
            yield {"error": self.failure}
            return
        self.blobs |= {sha256(body): body for name, body in files.items() if name.startswith("blobs/")}
        for entry in json.loads(files["index.json"])["manifests"]:
            self.names[entry["annotations"]["io.containerd.image.name"]] = entry["digest"]
        yield {"stream": "Loaded image"}

    def inspect_image(self, name: str) -> Mapping[str, Any]:
        digest = self.names.get(f"{HUB}{name}") or self.names.get(name)
        if digest is None:
            raise ImageNotFound(name)
        manifest = json.loads(self.blobs[digest])
        parts = [manifest["config"], *manifest["layers"]]
        whole = all(each["digest"] in self.blobs for each in parts)
        config = json.loads(self.blobs[manifest["config"]["digest"]]) if whole else {}
        return {
            "Id": digest,
            "Descriptor": {
                "digest": digest,
                "annotations": {"config.digest": manifest["config"]["digest"]},
            },
            "Size": 1,
            "Config": config.get("config"),
            "RootFS": {"Layers": config.get("rootfs", {}).get("diff_ids")},
        }

    def history(self, name: str) -> list[dict[str, int]]:
        return [{"Size": 7} for _ in self.inspect_image(name)["RootFS"]["Layers"]]

    def remove_image(self, name: str) -> None:
        del self.names[f"{HUB}{name}"]

    @property
    def documents(self) -> dict[str, bytes]:
        return {digest: blob for digest, blob in self.blobs.items() if blob.startswith(b"{")}

    def close(self) -> None:
        pass


@dataclass
class Local:
    """A shop whose images are in the engine."""

    shop: Shop
    api: EngineApi = field(default_factory=EngineApi)

    def open(self, *images: str, containerd: bool = True, **flags: Any) -> Session:
        made = self.shop.open(*images, registry="local", **flags)
        assert made._seams.engine
        engine = replace(made._seams.engine, containerd=containerd)
        store = LocalStore(api=self.api)  # type: ignore[arg-type]
        seams: Seams = replace(made._seams, engine=engine, local_store=store)
        return Session(made.flags, made.screen, runner=made.runner, root=self.shop.repo.root, seams=seams)

    def build(self, **flags: Any) -> Outcome:
        return build_images(self.open(**flags), "build-all")

    def reasons(self, **flags: Any) -> dict[str, str | None]:
        plan = make_plan_only(self.open(**flags))
        return {each.image.name: each.builder for each in plan.acting("build") if not each.append}

    def manifest(self, name: str) -> dict[str, Any]:
        return dict(json.loads(self.api.blobs[self.digest(name)]))

    def digest(self, name: str) -> str:
        return self.digest_of(Repo(self.shop.repo.root).images()[name])

    def digest_of(self, image: Image) -> str:
        return self.api.names[f"{HUB}{image.ref}"]

    @property
    def state(self) -> Any:
        return self.shop.repo.root / ".lamina"


@pytest.fixture
def local(linked: Shop) -> Local:
    """The images of `linked` in the engine, kept as after a build."""
    made = Local(linked)
    team = Team(Repo(linked.repo.root))
    team.build()
    images = team.images()
    for image in images.values():
        manifest = team.registry.tags[image.ref]
        assert manifest.config
        made.api.blobs[manifest.digest] = manifest.raw
        made.api.names[f"{HUB}{image.ref}"] = manifest.digest
        config = team.registry.blobs[image.ref.repository, manifest.config.digest]
        kept = KeptImage(ref=image.ref, raw=manifest.raw, raw_config=config)
        keep_image(made.state, image, code_tag(image, images), kept, Mask())
    made.api.blobs |= {digest: blob for (_, digest), blob in team.registry.blobs.items()}
    return made


def test_an_edited_handler_is_loaded_as_its_new_layer(local: Local) -> None:
    before = local.manifest(APP)
    local.shop.repo.write("embedding/handler.py", "def handler(event, context): return 1\n")

    outcome = local.build(append="only")

    after = local.manifest(APP)
    assert local.shop.programs.calls == []
    assert after["layers"][:-1] == before["layers"][:-1]
    new = [
        after["layers"][-1]["digest"],
        after["config"]["digest"],
        local.digest(APP),
    ]
    assert local.api.loaded == [
        ["oci-layout", *(f"blobs/{each.replace(':', '/')}" for each in new), "index.json"]
    ]
    result = outcome.results[APP]
    assert after["annotations"][FINGERPRINT_KEY] == result.image.fingerprint
    assert after["annotations"][APPENDED_KEY] == result.appended
    assert result.digest == new[-1]
    assert [*result.layers.values()] == [7]
    assert local.build().results[APP].status == "skipped"


def test_the_next_change_is_appended_to_that_one(local: Local) -> None:
    for text in ("1", "2"):
        before = local.digest(APP)
        local.shop.repo.write("embedding/handler.py", f"def handler(event, context): return {text}\n")
        outcome = local.build(append="only")
    assert outcome.results[APP].appended == before


def test_images_based_on_a_changed_one_are_loaded_after_it(local: Local) -> None:
    local.shop.repo.write("receipt_dynamo/receipt_dynamo/more.py", "MORE = 1\n")

    outcome = local.build(append="only")

    assert [name for name, each in outcome.results.items() if each.appended] == [BASE, APP, OTHER]
    base = local.manifest(BASE)["layers"]
    for name in (APP, OTHER):
        assert local.manifest(name)["layers"][: len(base)] == base
    assert [len(each) for each in local.api.loaded] == [5, 4, 4]


def test_a_change_of_an_image_on_an_existing_base_that_is_another_one(local: Local) -> None:
    local.shop.repo.write("receipt_dynamo/receipt_dynamo/more.py", "MORE = 1\n")
    build_images(local.open(BASE, append="only"), "build-all")

    assert local.build(append="only").results[APP].appended


def test_lost_layers_are_left_to_the_builder(local: Local) -> None:
    lost = local.manifest(APP)["layers"][0]["digest"]
    local.shop.repo.write("embedding/handler.py", "def handler(event, context): return 1\n")
    image = Repo(local.shop.repo.root).images()[APP]
    real = local.api.load_image

    def lose(archive: bytes, quiet: bool) -> Iterator[dict[str, str]]:
        local.api.blobs.pop(lost)  # after the plan has seen the earlier image
        return real(archive, quiet)

    local.api.load_image = lose  # type: ignore[method-assign]
    outcome = local.build(append="only")

    assert outcome.kind is EngineError
    assert "app needs a builder: the engine has lost layers of the image before" in outcome.problems[0].what
    assert f"{HUB}{image.ref}" not in local.api.names


def test_an_engine_that_refuses_the_archive(local: Local) -> None:
    local.api.failure = "no space left on device"
    local.shop.repo.write("embedding/handler.py", "def handler(event, context): return 1\n")

    outcome = local.build(append="only")

    assert "no space left on device" in outcome.problems[0].what
    assert outcome.kind is EngineError


DAMAGED = ("not json", "{}", '{"ref": "x:1", "manifest": "{}", "config": "{}"}')


@pytest.mark.parametrize("damage", [*DAMAGED, "other"])
def test_a_damaged_file_is_not_believed(local: Local, damage: str) -> None:
    for file in (local.state / "appends" / APP).iterdir():
        if damage == "other":  # documents that fit together, and are not those of an image in the engine
            found = json.loads(file.read_text())
            file.write_text(json.dumps({**found, "manifest": found["manifest"] + "\n"}))
        else:
            file.write_text(damage)
    local.shop.repo.write("embedding/handler.py", "def handler(event, context): return 1\n")

    assert local.reasons() == {APP: "no image in the engine differs from it in its code alone"}


def test_a_store_of_another_kind_needs_a_builder(local: Local) -> None:
    local.shop.repo.write("embedding/handler.py", "def handler(event, context): return 1\n")

    assert set(local.reasons(containerd=False).values()) == {
        "the engine does not have the containerd image store"
    }


def test_kept_images_are_found_by_both_tags_and_the_oldest_deleted(local: Local) -> None:
    images = Repo(local.shop.repo.root).images()
    image = images[APP]
    kept = newest_image(local.state, image, code_tag(image, images))
    assert kept == kept_image(local.state, image, image.tag)
    assert kept is not None
    for number in range(KEPT + 2):
        keep_image(local.state, image, f"append-{number:012}", kept, Mask())
    assert len([*(local.state / "appends" / APP).iterdir()]) == KEPT


def test_documents_with_a_secret_are_not_kept(local: Local) -> None:
    images = Repo(local.shop.repo.root).images()
    code = code_tag(images[APP], images)
    kept = newest_image(local.state, images[APP], code)
    assert isinstance(kept, KeptImage)

    keep_image(local.state, images[APP], code, kept, Mask(["/var/task"]))

    assert newest_image(local.state, images[APP], code) == images[APP].ref
    assert not any("/var/task" in file.read_text() for file in (local.state / "appends" / APP).iterdir())


def test_a_disk_that_refuses_costs_only_speed(local: Local) -> None:
    local.shop.repo.write("embedding/handler.py", "def handler(event, context): return 1\n")
    images = Repo(local.shop.repo.root).images()
    image = images[APP]
    in_the_way = local.state / "appends" / APP / f"{image.tag}.{code_tag(image, images)}.json"
    in_the_way.mkdir()

    assert local.build(append="only").results[APP].appended

    note_for_appends(
        local.state, Outcome(results={APP: Result(image=image, status="built", reasons=())}), images
    )
    assert [*in_the_way.iterdir()] == []


def test_a_file_that_is_deleted_meanwhile_is_left_out(local: Local) -> None:
    images = Repo(local.shop.repo.root).images()
    code = code_tag(images[APP], images)
    kept = newest_image(local.state, images[APP], code)
    folder = local.state / "appends" / APP
    (folder / f"sha-0.{code}.json").symlink_to(folder / "gone")  # listed, and its date cannot be read

    assert newest_image(local.state, images[APP], code) == kept
    assert isinstance(kept, KeptImage)


@pytest.mark.parametrize("mask", [Mask(), Mask(["/var/task"])])
def test_an_earlier_image_is_kept_under_its_own_content_tag(local: Local, mask: Mask) -> None:
    before = Repo(local.shop.repo.root).images()[APP]
    kept = kept_image(local.state, before, before.tag)
    assert isinstance(kept, KeptImage)
    shutil.rmtree(local.state / "appends")
    local.shop.repo.write("embedding/handler.py", "def handler(event, context): return 1\n")
    images = Repo(local.shop.repo.root).images()

    keep_image(local.state, images[APP], code_tag(images[APP], images), kept, mask)

    assert kept_image(local.state, images[APP], images[APP].tag) is None
    found = kept_image(local.state, images[APP], before.tag)
    assert (found.ref if isinstance(found, KeptImage) else found) == before.ref


def test_documents_of_another_image_under_the_tag_of_a_base(local: Local) -> None:
    (folder := local.state / "appends" / BASE).mkdir(exist_ok=True)
    (app,) = (local.state / "appends" / APP).iterdir()
    local.shop.repo.write("receipt_dynamo/receipt_dynamo/more.py", "MORE = 1\n")
    build_images(local.open(BASE, append="only"), "build-all")
    base = Repo(local.shop.repo.root).images()[BASE]
    for file in folder.glob(f"{base.tag}.*"):
        file.write_text(app.read_text())
    made = local.open(APP)
    buildx = Buildx(shown=local.api.documents)
    session = Session(made.flags, made.screen, runner=buildx, root=local.shop.repo.root, seams=made._seams)

    outcome = build_images(session, "build-all")

    assert outcome.results[APP].appended
    assert local.digest_of(base) in buildx.asked


@dataclass
class Buildx(ScriptedRunner):
    """Plays git outside a repository, and buildx, which shows documents by their digests."""

    shown: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def run(self, command: Any, *, timeout: float | None = None) -> Completed:
        if command.argv[0] == "git":
            return Completed(code=128)
        *words, digest = command.argv
        assert words == ["buildx", "history", "inspect", "attachment", "--builder=default", "^0"]
        self.asked.append(digest)
        text = self.shown.get(digest)
        return Completed(code=int(text is None), stdout=(text or b"").decode())


@pytest.mark.parametrize("has_records", [True, False])
def test_of_an_image_that_a_builder_made_the_documents_are_read_once(local: Local, has_records: bool) -> None:
    images = Repo(local.shop.repo.root).images()
    shutil.rmtree(local.state / "appends")
    results = {name: Result(image=image, status="built", reasons=()) for name, image in images.items()}
    note_for_appends(local.state, Outcome(results=results), images)
    buildx = Buildx(shown=local.api.documents if has_records else {})
    for text in ("1", "2"):
        local.shop.repo.write("embedding/handler.py", f"def handler(event, context): return {text}\n")
        made = local.open()
        root = local.shop.repo.root
        session = Session(made.flags, made.screen, runner=buildx, root=root, seams=made._seams)
        plan = make_plan_only(session)
        assert [each.image.name for each in plan.appends] == [APP] * has_records
    manifest = local.digest_of(images[APP])
    wanted = [manifest, json.loads(local.api.blobs[manifest])["config"]["digest"]]
    assert sorted(buildx.asked) == sorted(wanted if has_records else 2 * wanted)


def test_documents_of_another_digest_are_not_taken() -> None:
    engine = ENGINE
    assert read_content(Buildx(shown={sha256(b"a"): b"a"}), engine, sha256(b"a")) == b"a"
    assert read_content(Buildx(shown={sha256(b"a"): b"b"}), engine, sha256(b"a")) is None
    assert read_content(Buildx(), engine, sha256(b"a")) is None
