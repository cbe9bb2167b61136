from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import IO, Any

from lamina.errors import RegistryError
from lamina.execute.cache_keys import (
    CONFIG,
    STEPS_KEY,
    Exported,
    drop_dead_keys,
    forget_steps,
    tidy_caches,
)
from lamina.refs import Reference
from lamina.registries.base import OCI_MANIFEST, Descriptor, Manifest, sha256

REF, OTHER = (Reference.parse(f"r.example/{name}:cache-main-amd64") for name in ("a", "b"))
WANTED = Exported(steps="sha256:steps", layers=frozenset({"sha256:blob"}))
DEPS = {"digest": "sha256:deps", "layers": [{"layer": 0}]}
SOURCE: dict[str, Any] = {"digest": "sha256:source"}
BASE: dict[str, Any] = {"digest": "sha256:base"}


def linked(digest: str, *links: int, **more: Any) -> dict[str, Any]:
    return {"digest": digest, "inputs": [[{"link": link, "selector": "sha256:x"}] for link in links], **more}


CONFIGURATION: dict[str, Any] = {
    "layers": [{"blob": "sha256:blob", "parent": -1}],
    "records": [
        BASE,
        linked("sha256:merge", 0, 3),
        SOURCE,
        linked("sha256:copy", 2, layers=[{"layer": 0}]),
        linked("sha256:chained", 2, chains=[{"layers": [0]}]),
    ],
}


def test_a_record_that_neither_has_a_result_nor_leads_to_one_goes() -> None:
    after = drop_dead_keys(CONFIGURATION)

    assert after["layers"] == CONFIGURATION["layers"]
    assert after["records"] == [
        SOURCE,
        linked("sha256:copy", 0, layers=[{"layer": 0}]),
        linked("sha256:chained", 0, chains=[{"layers": [0]}]),
    ]


def test_a_cache_without_dead_keys_stays_as_it_is() -> None:
    alive = {"layers": [], "records": [SOURCE, DEPS, linked("sha256:copy", 1, 0, layers=[{"layer": 0}])]}

    assert drop_dead_keys(alive) == {**alive, "records": alive["records"][:]}
    assert drop_dead_keys({"records": [BASE, SOURCE]}) == {"records": []}


class Shelf:
    """A registry that has caches, and counts what is written."""

    address = "r.example"

    def __init__(self, config: bytes, media_type: str = CONFIG) -> None:
        self.blobs = {sha256(config): config}
        told = {"mediaType": media_type, "digest": sha256(config), "size": len(config)}
        raw = json.dumps({"mediaType": OCI_MANIFEST, "config": told, "layers": [{"digest": "sha256:blob"}]})
        self.there = {REF: Manifest.of(raw.encode())}
        self.written = 0

    @property
    def document(self) -> Any:
        config = self.there[REF].config
        assert config is not None
        assert config.size == len(self.blobs[config.digest])
        return json.loads(self.blobs[config.digest])

    def manifest(self, ref: Reference) -> Manifest | None:
        if ref == OTHER:
            raise RegistryError.of("may not be read", where="r.example")
        return self.there.get(ref)

    def manifests(self, refs: Iterable[Reference]) -> Mapping[Reference, Manifest | None]:
        raise AssertionError("one by one")

    def lost(self, blobs: Mapping[Reference, Iterable[Descriptor]]) -> Mapping[Reference, tuple[str, ...]]:
        raise AssertionError("no blob is looked for here")

    def blob(self, ref: Reference, blob: Descriptor, sink: IO[bytes]) -> None:
        sink.write(self.blobs[blob.digest])

    def write(self, ref: Reference, manifest: Manifest, *blobs: bytes) -> None:
        self.blobs |= {sha256(blob): blob for blob in blobs}
        self.there[ref] = manifest
        self.written += 1

    def retag(self, source: Reference, target: Reference) -> None:
        raise AssertionError("nothing to retag")

    def delete(self, ref: Reference) -> None:
        raise AssertionError("nothing to delete")

    def missing_repositories(self, names: Iterable[str]) -> tuple[str, ...]:
        raise AssertionError("nothing to create")

    def create_repository(self, name: str) -> None:
        raise AssertionError("nothing to create")


def test_a_cache_is_rewritten_with_its_steps() -> None:
    shelf = Shelf(json.dumps(CONFIGURATION).encode())
    layers = shelf.there[REF].layers

    assert tidy_caches(shelf, {REF: WANTED}).problems == ()
    assert shelf.document == drop_dead_keys(CONFIGURATION)
    assert shelf.there[REF].layers == layers
    assert shelf.there[REF].annotations == {STEPS_KEY: "sha256:steps"}


def test_a_cache_that_cannot_be_read_is_reported_and_the_others_are_rewritten() -> None:
    shelf = Shelf(json.dumps(CONFIGURATION).encode())

    (problem,) = tidy_caches(shelf, {OTHER: WANTED, REF: WANTED}).problems

    assert problem.what == "may not be read"
    assert shelf.written == 1


def test_a_configuration_of_another_form_is_left_alone() -> None:
    for shelf in (Shelf(b"[]"), Shelf(b"{}"), Shelf(b"{", CONFIG), Shelf(b"{}", "application/other")):
        assert tidy_caches(shelf, {REF: WANTED}).problems == ()
        assert shelf.written == 0


def test_a_cache_that_did_not_arrive_is_reported_and_never_counts_as_written() -> None:
    shelf = Shelf(json.dumps(CONFIGURATION).encode())
    gone = Reference.parse("r.example/gone:cache-main-amd64")
    tidy_caches(shelf, {REF: WANTED})

    assert (
        tidy_caches(shelf, {REF: WANTED}).problems == ()
    )  # another run of the same state was a moment earlier
    problems = tidy_caches(shelf, {REF: replace(WANTED, steps="sha256:others"), gone: WANTED}).problems

    assert ["another run" in problems[0].what, "missing" in problems[1].what] == [True, True]
    assert shelf.there[REF].annotations == {STEPS_KEY: "sha256:steps"}
    assert shelf.written == 1


def test_a_cache_without_the_result_of_a_step_is_reported_and_exported_again() -> None:
    shelf = Shelf(json.dumps(CONFIGURATION).encode())

    (problem,) = tidy_caches(
        shelf, {REF: replace(WANTED, layers=frozenset({"sha256:blob", "sha256:deps"}))}
    ).problems

    assert "it lacks the result of a step, layer sha256:deps" in problem.what
    assert problem.hint
    assert (shelf.written, shelf.there[REF].annotations) == (0, {})


def test_the_annotation_of_a_cache_is_removed() -> None:
    shelf = Shelf(json.dumps(CONFIGURATION).encode())
    tidy_caches(shelf, {REF: WANTED})
    config = shelf.there[REF].config

    assert [problem.what for problem in forget_steps(shelf, [OTHER, REF])] == ["may not be read"]

    assert shelf.there[REF].annotations == {}
    assert shelf.there[REF].config == config
