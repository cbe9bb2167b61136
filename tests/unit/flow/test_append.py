"""Which images are appended, and what is put into the registry. It is held against BuildKit in
tests/integration/test_append.py."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import IO, Any

import pytest

from lamina.decide.append import AppendPlan
from lamina.decide.plan import FoundImage, Plan, StoreLookup, make_plan
from lamina.declare.dockerfile import Instruction
from lamina.errors import BuildError, RegistryError
from lamina.execute.annotations import MOST_INPUTS, image_annotations
from lamina.execute.append import Appender
from lamina.execute.append_registry import RegistryAppends
from lamina.execute.layer_tar import Owner, compressed, layer_tar
from lamina.execute.outcome import Outcome, Result, Status
from lamina.flow.append import find_appends, tag_for_appends, with_appends
from lamina.identify.code_copies import code_tag
from lamina.identify.copy_layer import CopyTree, CopyWords
from lamina.identify.fingerprint import FINGERPRINT_KEY, INPUTS_KEY
from lamina.identify.image import Image
from lamina.refs import Reference
from lamina.registries.base import OCI_MANIFEST, Descriptor, Manifest, sha256

from ..conftest import RUNTIME, Repo

GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
BUILDKIT = "buildkit.dockerfile.v0"
THEN = "2026-01-01T00:00:00Z"
ENV = ["PATH=/bin", "LAMBDA_TASK_ROOT=/var/task"]


@dataclass
class Memory:
    """A registry in memory. A manifest is refused unless its repository has the blobs."""

    tags: dict[Reference, Manifest] = field(default_factory=dict)
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    immutable: bool = False
    address: str = "registry.example"

    def manifest(self, ref: Reference) -> Manifest | None:
        if ref.digest:
            own = (each for at, each in self.tags.items() if at.repository == ref.repository)
            return next((each for each in own if each.digest == ref.digest), None)
        return self.tags.get(ref)

    def digest(self, ref: Reference) -> str | None:
        found = self.manifest(ref)
        return found.digest if found else None

    def manifests(self, refs: Iterable[Reference]) -> Mapping[Reference, Manifest | None]:
        return {ref: self.manifest(ref) for ref in refs}

    def lost(self, blobs: Mapping[Reference, Iterable[Descriptor]]) -> Mapping[Reference, tuple[str, ...]]:
        return {
            ref: tuple(each.digest for each in wanted if (ref.repository, each.digest) not in self.blobs)
            for ref, wanted in blobs.items()
        }

    def blob(self, ref: Reference, blob: Descriptor, sink: IO[bytes]) -> None:
        sink.write(self.blobs[ref.repository, blob.digest])

    def write(self, ref: Reference, manifest: Manifest, *blobs: bytes) -> None:
        self.blobs |= {(ref.repository, sha256(blob)): blob for blob in blobs}
        if self.immutable and ref in self.tags:
            raise RegistryError.of(f"the tag {ref} is immutable")
        wanted = [each for each in (manifest.config, *manifest.layers) if each]
        if lost := self.lost({ref: wanted})[ref]:
            raise RegistryError.of(f"blob unknown to registry: {lost}")
        self.tags[ref] = manifest

    def retag(self, source: Reference, target: Reference) -> None:
        if self.immutable:
            raise RegistryError.of(f"the tag {target} is immutable")
        self.tags[target] = self.tags[source]

    def share(self, source: Reference, target: Reference, blobs: Iterable[Descriptor]) -> None:
        for each in blobs:
            self.blobs[target.repository, each.digest] = self.blobs[source.repository, each.digest]

    def config(self, ref: Reference) -> dict[str, Any]:
        manifest = self.tags[ref]
        assert manifest.config
        return dict(json.loads(self.blobs[ref.repository, manifest.config.digest]))

    def files(self, ref: Reference) -> list[str]:
        """The names and contents of the files in each layer."""
        return [gzip.decompress(self.blobs[ref.repository, each.digest]) for each in self.tags[ref].layers]


@dataclass
class Team:
    """A repository, and a registry into which images are built or appended."""

    repo: Repo
    registry: Memory = field(default_factory=Memory)
    stable: dict[str, str] | None = None

    def images(self) -> Mapping[str, Image]:
        return self.repo.images(stable=self.stable)

    def plan(self) -> Plan:
        images = self.images()
        found = {
            name: FoundImage(
                ref=image.ref, digest=self.registry.tags[image.ref].digest, fingerprint=image.fingerprint
            )
            for name, image in images.items()
            if image.ref in self.registry.tags
        }
        plan = make_plan(images, images, StoreLookup(store="memory", found=found), last={})
        return with_appends(plan, find_appends(RegistryAppends(self.registry, images), plan, images))

    def verdicts(self) -> dict[str, str]:
        return {
            each.image.name: each.append.summary if each.append else each.builder or ""
            for each in self.plan().acting("build")
        }

    def append(self) -> dict[str, str | None]:
        """Append what can be; image -> digest."""
        plan, images = self.plan(), self.images()
        appender = Appender(
            RegistryAppends(self.registry, images), images, plan.found, "c0ffee", static=False
        )
        for each in plan.appends:
            appender.run(each)
        return {name: each.digest for name, each in appender.results.items()}

    def build(self) -> None:
        """Play BuildKit for linked copies on a runtime of one layer."""
        images = self.images()
        for image in images.values():
            parent = next(iter(image.node.parents), None)
            below = images[parent].ref if parent else None
            blobs = [layer.digest for layer in self.registry.tags[below].layers] if below else []
            packed = (
                [self.registry.blobs[below.repository, each] for each in blobs]
                if below
                else [compressed(b"runtime")]
            )
            history = (
                self.registry.config(below)["history"]
                if below
                else [{"created": THEN, "created_by": "runtime"}]
            )
            for each in image.node.recipe.instructions:
                text = " ".join(each.words)
                if each.name != "COPY":
                    history.append(
                        {"created": THEN, "created_by": shown(each), "comment": BUILDKIT, "empty_layer": True}
                    )
                    continue
                history.append({"created": THEN, "created_by": f"COPY {text} # buildkit"})
                words = CopyWords(
                    sources=each.words[:-1], target="/var/task/" if each.words[-1] == "./" else each.words[-1]
                )
                layer = CopyTree(image.inputs.files[""]).layer(words)
                packed.append(compressed(layer_tar(layer, Owner(), lambda file: self.read(file.source))))
            self.push(image, packed, history)

    def read(self, path: str) -> bytes:
        return (self.repo.root / path).read_bytes()

    def push(self, image: Image, packed: list[bytes], history: list[dict[str, Any]]) -> None:
        layers = [{"mediaType": GZIP, "digest": sha256(each), "size": len(each)} for each in packed]
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Env": ENV,
                "WorkingDir": "/var/task",
                "Labels": {"x": "y", FINGERPRINT_KEY: image.fingerprint},
            },
            "created": THEN,
            "history": history,
            "rootfs": {"type": "layers", "diff_ids": [sha256(gzip.decompress(each)) for each in packed]},
        }
        raw = json.dumps(config).encode()
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": sha256(raw),
                "size": len(raw),
            },
            "layers": layers,
            "annotations": image_annotations(image, revision=None, static=False),
        }
        made = Manifest.of(json.dumps(document).encode())
        self.registry.write(image.ref, made, raw, *packed)
        self.registry.tags[image.repository.with_tag(code_tag(image, self.images()))] = made


def shown(instruction: Instruction) -> str:
    """What BuildKit writes into the history for a setting."""
    words = [each.strip('"') for each in instruction.words]
    if instruction.name == "CMD":
        return f"CMD {json.dumps(words).replace(', ', ' ')}"
    pairs = zip(words[::2], words[1::2], strict=True)
    return " ".join([instruction.name, *(f"{name}={value}" for name, value in pairs)])


@pytest.fixture
def team(repo: Repo) -> Team:
    repo.image("base-x", f"FROM {RUNTIME}", "COPY --link base/ /var/task/base/")
    repo.image("app", "FROM base-x:stable", "COPY --link lib.py /opt/", "COPY --link src/ ./", "ENV A=1")
    for path in ("base/x.py", "lib.py", "src/handler.py", "src/more.py"):
        repo.write(path, f"# {path}\n")
    made = Team(repo)
    made.build()
    return made


def test_only_the_layer_of_the_changed_files_is_made(team: Team) -> None:
    before = team.images()["app"]
    team.repo.write("src/handler.py", "# edited\n")
    image = team.images()["app"]

    assert team.verdicts() == {"app": "1 layer"}
    digest = team.append()["app"]

    made, old = team.registry.tags[image.ref], team.registry.tags[before.ref]
    assert made.digest == digest
    assert made.layers[:3] == old.layers[:3]
    assert made.layers[3] != old.layers[3]
    assert b"# edited" in team.registry.files(image.ref)[3]
    assert made.annotations == {
        **image_annotations(image, revision="c0ffee", static=False),
        "dev.lamina.appended-to": old.digest,
    }
    config, old_config = team.registry.config(image.ref), team.registry.config(before.ref)
    assert config["config"] == {
        **old_config["config"],
        "Labels": {"x": "y", FINGERPRINT_KEY: image.fingerprint},
    }
    assert config["rootfs"]["diff_ids"] == [sha256(each) for each in team.registry.files(image.ref)]
    dates = [each.pop("created") for each in config["history"]]
    assert dates[:3] == [THEN] * 3
    assert dates[3] == config["created"] > THEN
    assert config["history"] == [
        {key: value for key, value in each.items() if key != "created"} for each in old_config["history"]
    ]
    assert team.verdicts() == {}


def test_the_next_change_is_appended_to_the_newest_image_that_may_be_named(team: Team) -> None:
    for immutable in (False, True):
        team.registry.immutable = immutable
        tag = team.images()["app"].repository.with_tag(code_tag(team.images()["app"], team.images()))
        before = team.registry.tags[tag].digest
        team.repo.write("src/handler.py", f"# {immutable}\n")
        digest = team.append()["app"]
        assert team.registry.tags[tag].digest == (before if immutable else digest)
        assert digest != before


@pytest.mark.parametrize("status", ["built", "pushed"])
def test_an_image_that_a_builder_made_is_named_for_later_changes(team: Team, status: Status) -> None:
    images = team.images()
    tags = {name: image.repository.with_tag(code_tag(image, images)) for name, image in images.items()}
    before = dict(team.registry.tags)
    results = {name: Result(image=image, status=status, reasons=()) for name, image in images.items()}
    outcome = Outcome(results=results)

    team.registry.immutable = True
    assert tag_for_appends(team.registry, outcome, images) == ()
    del team.registry.tags[tags["app"]]
    (note,) = tag_for_appends(team.registry, outcome, images)
    assert note.what.startswith("app has no tag for code changes: the tag app-dev:append-")

    team.registry.immutable = False
    assert tag_for_appends(team.registry, replace(outcome, interrupted=True), images) == ()
    assert tags["app"] not in team.registry.tags
    assert tag_for_appends(team.registry, outcome, images) == ()
    assert team.registry.tags == before


def test_an_image_based_on_a_changed_one_keeps_its_own_layers(team: Team) -> None:
    before = team.images()["app"]
    for text in ("one", "two"):  # the second time the base below the earlier image is one that was appended
        team.repo.write("base/x.py", f"# {text}\n")
        assert team.verdicts() == {"base-x": "1 layer", "app": "the layers of base-x"}
        team.append()
    image = team.images()["app"]
    base, made = (team.registry.tags[team.images()[name].ref] for name in ("base-x", "app"))
    assert made.layers == (*base.layers, *team.registry.tags[before.ref].layers[2:])
    assert len(team.registry.config(image.ref)["history"]) == 5
    assert team.registry.config(image.ref)["rootfs"]["diff_ids"] == [
        sha256(each) for each in team.registry.files(image.ref)
    ]


SETTINGS = ('ENV A=2 B="two words"', "LABEL x=z team=ours", 'CMD ["handler.other"]', "ENV PATH=/opt/bin")
COPIES = ("FROM base-x:stable", "COPY --link lib.py /opt/", "COPY --link src/ ./")


def test_other_settings_at_the_end_need_no_layer(team: Team) -> None:
    before = team.images()["app"]
    team.repo.image("app", *COPIES, *SETTINGS)
    image = team.images()["app"]

    assert team.verdicts() == {"app": "settings"}
    team.append()

    old, config = team.registry.config(before.ref), team.registry.config(image.ref)
    assert team.registry.tags[image.ref].layers == team.registry.tags[before.ref].layers
    assert config["config"] == {
        "Env": ["PATH=/opt/bin", "LAMBDA_TASK_ROOT=/var/task", "A=2", "B=two words"],
        "WorkingDir": "/var/task",
        "Labels": {FINGERPRINT_KEY: image.fingerprint, "team": "ours", "x": "z"},
        "Cmd": ["handler.other"],
        "ArgsEscaped": True,
    }
    assert config["history"][:4] == old["history"][:4]
    assert config["history"][4:] == [
        {"created": config["created"], "created_by": step, "comment": BUILDKIT, "empty_layer": True}
        for step in (
            "ENV A=2 B=two words",
            "LABEL x=z team=ours",
            'CMD ["handler.other"]',
            "ENV PATH=/opt/bin",
        )
    ]
    team.repo.write("src/handler.py", "# edited\n")
    team.repo.write("base/x.py", "# edited\n")
    team.repo.image("app", *COPIES, "ENV A=3 B=", *SETTINGS[1:])
    assert team.verdicts()["app"] == "1 layer and the layers of base-x and settings"
    team.append()
    assert team.registry.config(team.images()["app"].ref)["config"]["Env"][2:] == ["A=3", "B="]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (("ENV B=1 A=1",), "an ENV is gone, or in another order"),
        (("ENV A=${LAMBDA_TASK_ROOT}",), "no image in the registry differs from it in its code alone"),
        (("ENV A=1", "USER nobody"), "no image in the registry differs from it in its code alone"),
    ],
)
def test_settings_that_are_gone_or_not_literal_need_a_builder(
    team: Team, settings: tuple[str, ...], why: str
) -> None:
    team.repo.image("app", *COPIES, *settings)

    assert team.verdicts() == {"app": why}


@pytest.mark.parametrize(
    ("line", "name"), [("LABEL a=b", "LABEL a"), ('CMD ["handler.handler"]', "CMD"), ("ENV B=1", "an ENV")]
)
def test_a_variable_that_a_base_may_set_as_well_is_not_removed(team: Team, line: str, name: str) -> None:
    team.repo.image("app", *COPIES, "ENV A=1", line)
    team.append()
    team.repo.image("app", *COPIES, "ENV A=2")

    assert team.verdicts()["app"].startswith(f"{name} is gone")


def test_an_image_based_on_one_with_other_settings_needs_a_builder(team: Team) -> None:
    team.repo.image("base-x", f"FROM {RUNTIME}", "COPY --link base/ /var/task/base/", "ENV B=1")

    assert team.verdicts() == {"base-x": "settings", "app": "its base base-x differs in more than code"}


def test_a_base_that_exists_needs_not_be_appended(team: Team) -> None:
    team.repo.write("base/x.py", "# new\n")
    team.repo.write("src/handler.py", "# new\n")
    images = team.images()
    old, plan = (
        team.registry.tags[images["base-x"].repository.with_tag(code_tag(images["base-x"], images))],
        team.plan(),
    )
    appender = Appender(RegistryAppends(team.registry, images), images, plan.found, None, static=False)
    appender.run(plan.decisions["base-x"])
    assert team.verdicts() == {"app": "1 layer and the layers of base-x"}
    assert team.append().keys() == {"app"}
    assert old.layers[1] not in team.registry.tags[team.images()["app"].ref].layers


@pytest.mark.parametrize(
    ("file", "text", "verdicts"),
    [
        (
            "dockerfiles/app/Dockerfile",
            "FROM base-x:stable\nCOPY --link src/ /x/\n",
            {"app": "no image in the registry differs from it in its code alone"},
        ),
        (
            "dockerfiles/base-x/Dockerfile",
            f"FROM {RUNTIME}\nENV B=1\nCOPY --link base/ /var/task/base/\n",
            {
                "base-x": "no image in the registry differs from it in its code alone",
                "app": "its base base-x needs a builder",
            },
        ),
        (
            "dockerfiles/app/Dockerfile",
            "FROM base-x:stable\nCOPY lib.py /\n",
            {"app": "nothing on top of it is a COPY --link from the context"},
        ),
    ],
)
def test_a_change_of_more_than_code_needs_a_builder(
    team: Team, file: str, text: str, verdicts: dict[str, str]
) -> None:
    team.repo.write(file, text)

    assert team.verdicts() == verdicts


def damaged(team: Team, **change: Any) -> None:
    """Replace parts of the configuration of the app that is in the registry, and write its manifest anew."""
    images = team.images()
    image = images["app"]
    manifest, config = json.loads(team.registry.tags[image.ref].raw), team.registry.config(image.ref)
    manifest |= {key: value for key, value in change.items() if key in manifest}
    config |= {key: value for key, value in change.items() if key in config and key not in manifest}
    raw = json.dumps(config).encode()
    manifest["config"] |= {"digest": sha256(raw), "size": len(raw)}
    made = Manifest.of(json.dumps(manifest).encode())
    team.registry.blobs[image.repository.repository, sha256(raw)] = raw
    team.registry.tags[image.repository.with_tag(code_tag(image, images))] = made


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"annotations": {}}, "carries no build inputs"),
        ({"mediaType": "application/vnd.docker.distribution.manifest.v2+json"}, "is not an OCI manifest"),
        ({"history": []}, "does not name its layers"),
        ({"history": [{"created_by": "x"}] * 4}, "COPY is not where the history of the image before has it"),
        (
            {
                "history": [{"created_by": "COPY x y # buildkit"}] * 4
                + [{"created_by": "ENV", "empty_layer": True}]
            },
            "the history of the image before has COPY x y # buildkit",
        ),
    ],
)
def test_an_image_of_another_form_is_not_appended_to(team: Team, change: dict[str, Any], why: str) -> None:
    damaged(team, **change)
    team.repo.write("src/handler.py", "# edited\n")

    assert why in team.verdicts()["app"]


def test_inputs_too_large_to_travel_are_those_kept_on_this_machine(team: Team) -> None:
    lines = (f"{hashlib.sha256(b'%d' % number).hexdigest()}\n" for number in range(MOST_INPUTS // 32))
    team.repo.write("src/requirements.txt", "".join(lines))
    team.build()
    before = team.images()["app"]
    assert INPUTS_KEY not in team.registry.tags[before.ref].annotations
    team.repo.write("src/handler.py", "# edited\n")

    assert team.verdicts() == {"app": "the image before carries no build inputs"}
    kept = {("app", before.tag): before.inputs}
    found = find_appends(
        RegistryAppends(team.registry, team.images()), team.plan(), team.images(), lambda *key: kept.get(key)
    )
    assert isinstance(found["app"], AppendPlan)


def test_an_image_on_a_stable_base_is_appended_until_that_moves(team: Team) -> None:
    for digest, verdict in (("1", "1 layer"), ("2", "no image in the registry")):
        team.stable = {"base-x": f"sha256:{digest * 64}"}
        if digest == "1":
            team.build()
        team.repo.write("src/handler.py", f"# {digest}\n")
        assert team.verdicts()["app"].startswith(verdict)
        team.append()


def test_very_large_layers_are_left_to_a_builder(team: Team) -> None:
    os.truncate(team.repo.write("src/model.bin"), 65 << 20)

    assert team.verdicts() == {"app": "its new layers hold 65 MiB: more than 64 MiB"}


def test_layers_that_are_lost_are_left_to_a_builder(team: Team) -> None:
    images = team.images()
    for name, at in (("app", 2), ("base-x", 0)):
        layer = team.registry.tags[images[name].ref].layers[at]
        del team.registry.blobs[images[name].repository.repository, layer.digest]
        team.repo.write("src/handler.py", f"# {name}\n")
        team.repo.write("base/x.py", f"# {name}\n")
        plan, changed = team.plan(), team.images()
        appender = Appender(RegistryAppends(team.registry, changed), changed, plan.found, None, static=False)
        for each in plan.appends:
            if each.append and each.append.moved not in appender.refused:
                appender.run(each)
        assert appender.refused == {name: f"the registry has lost its layer {layer.digest[:19]}"}
        assert changed[name].ref not in team.registry.tags


def test_a_base_of_which_nothing_is_known_needs_a_builder(team: Team) -> None:
    team.repo.write("base/x.py", "# new\n")
    for ref in [ref for ref in team.registry.tags if ref.repository.startswith("base-x")]:
        team.registry.tags.pop(ref)
    team.repo.write("src/handler.py", "# new\n")

    assert team.verdicts()["app"] == "its base base-x needs a builder"


def test_a_file_that_changes_after_it_was_hashed_stops_the_push(team: Team) -> None:
    team.repo.write("src/handler.py", "# edited\n")
    plan, images = team.plan(), team.images()
    team.repo.write("src/handler.py", "# again!\n")
    appender = Appender(RegistryAppends(team.registry, images), images, plan.found, None, static=False)

    with pytest.raises(BuildError, match="changed while it was being read"):
        appender.run(plan.decisions["app"])
    assert images["app"].ref not in team.registry.tags
