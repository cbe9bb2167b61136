from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import IO

from lamina.errors import Problem, RegistryError
from lamina.execute.cache_keys import CONFIG, STEPS_KEY
from lamina.execute.outcome import Outcome, Result
from lamina.execute.remote_cache import ImageCache
from lamina.flow.cache import Caches, existing, settle_caches
from lamina.refs import Reference
from lamina.registries.base import OCI_MANIFEST, Descriptor, Manifest, sha256

from ..conftest import Repo

THERE, ABSENT, DENIED = (Reference.parse(f"r.example/{name}:cache-main-amd64") for name in ("a", "b", "c"))
D, LAYER = "base-receipt-dynamo", "sha256:layer"
WRITING = ImageCache(export=THERE, home=THERE, steps="sha256:x")
WRITTEN = ImageCache(imports=(THERE,), complete=True, home=THERE, steps="sha256:x")


class Shelf:
    """A registry that has one manifest and keeps one repository to itself."""

    address = "r.example"

    def manifest(self, ref: Reference) -> Manifest | None:
        if ref == DENIED:
            raise RegistryError.of(f"may not read {ref}", where="r.example")
        return (
            Manifest.of(json.dumps({"annotations": {STEPS_KEY: "sha256:x"}}).encode())
            if ref == THERE
            else None
        )

    def manifests(self, refs: Iterable[Reference]) -> Mapping[Reference, Manifest | None]:
        return {ref: self.manifest(ref) for ref in refs}

    def retag(self, source: Reference, target: Reference) -> None:
        raise AssertionError("only read")

    def write(self, ref: Reference, manifest: Manifest, *blobs: bytes) -> None:
        raise AssertionError("only read")

    def delete(self, ref: Reference) -> None:
        raise AssertionError("only read")

    def missing_repositories(self, names: Iterable[str]) -> tuple[str, ...]:
        raise AssertionError("only read")

    def create_repository(self, name: str) -> None:
        raise AssertionError("only read")


def test_absent_caches_are_left_out_in_silence() -> None:
    assert existing(Shelf(), [THERE, ABSENT]) == ({THERE: "sha256:x"}, ())


def test_a_cache_that_cannot_be_read_is_reported_and_the_others_are_used() -> None:
    told = (Problem(what=f"may not read {DENIED}", where="r.example"),)

    assert existing(Shelf(), [DENIED, ABSENT, THERE, DENIED]) == ({THERE: "sha256:x"}, told)


class Store(Shelf):
    """A registry of caches as BuildKit writes them; of those that are ours it counts the writes."""

    def __init__(self, *refs: Reference) -> None:
        config = json.dumps({"layers": [{"blob": LAYER}], "records": []}).encode()
        self.blobs = {sha256(config): config}
        told = {"mediaType": CONFIG, "digest": sha256(config), "size": len(config)}
        made = Manifest.of(json.dumps({"mediaType": OCI_MANIFEST, "config": told}).encode())
        self.there = dict.fromkeys(refs, made)

    def manifest(self, ref: Reference) -> Manifest | None:
        return self.there.get(ref)

    def blob(self, ref: Reference, blob: Descriptor, sink: IO[bytes]) -> None:
        sink.write(self.blobs[blob.digest])

    def write(self, ref: Reference, manifest: Manifest, *blobs: bytes) -> None:
        self.blobs |= {sha256(blob): blob for blob in blobs}
        self.there[ref] = manifest

    def tail(self, ref: Reference, blob: Descriptor, count: int) -> bytes:
        raise AssertionError("read as a whole")

    @property
    def steps(self) -> dict[Reference, str | None]:
        return {ref: manifest.annotations.get(STEPS_KEY) for ref, manifest in self.there.items()}


def settle(
    repo: Repo,
    store: Store,
    cache: ImageCache,
    *,
    uncached: dict[str, str] | None = None,
    left: dict[str, str] | None = None,
    layers: tuple[str, ...] = (LAYER,),
    exact: bool = True,
    interrupted: bool = False,
) -> list[str]:
    """What is told after a run that built one image. left: what a second export does not mend."""
    image = repo.images()[D]
    result = Result(image=image, status="built", reasons=(), cold=True, layers=dict.fromkeys(layers, 1))
    outcome = Outcome(results={D: result}, uncached=uncached or {}, interrupted=interrupted)
    again = None if left is None else lambda names: {name: left[name] for name in names if name in left}
    settled = settle_caches(store, Caches(images={D: cache}), outcome, "now", again, exact=exact)
    return [each.what for each in settled.notes]


def test_a_cache_that_was_exported_is_marked_as_written(receipts: Repo) -> None:
    store = Store(THERE)

    assert settle(receipts, store, WRITING, left={}) == []
    assert store.steps == {THERE: "sha256:x"}


def test_an_export_that_failed_is_made_once_more(receipts: Repo) -> None:
    store = Store(THERE)

    (told,) = settle(receipts, store, WRITING, uncached={D: "its export failed: no route"}, left={})

    assert told == f"the remote cache of {D} was written once more: its export failed: no route"
    assert store.steps == {THERE: "sha256:x"}


def test_an_export_that_fails_again_leaves_the_cache_to_the_next_run(receipts: Repo) -> None:
    store = Store(THERE)
    gap = {D: "its export failed: no route"}

    for left, interrupted in ((gap, False), (None, False), ({}, True)):
        (told,) = settle(receipts, store, WRITING, uncached=gap, left=left, interrupted=interrupted)

        assert told == f"the remote cache of {D} is not written: its export failed: no route"
        assert store.steps == {THERE: None}


def test_a_cache_that_lacked_a_step_no_longer_counts_as_written(receipts: Repo) -> None:
    store = Store(THERE)
    settle(receipts, store, WRITING)

    assert settle(receipts, store, WRITTEN, uncached={D: "it did not have RUN x"}, left={D: "no route"})
    assert store.steps == {THERE: None}


def test_a_cache_without_a_layer_of_an_image_all_of_which_was_made_is_reported(receipts: Repo) -> None:
    for layers, exact, told in ((("sha256:other",), True, 1), (("sha256:other",), False, 0), ((), True, 0)):
        store = Store(THERE)

        assert len(settle(receipts, store, WRITING, layers=layers, exact=exact)) == told
        assert store.steps == {THERE: None if told else "sha256:x"}
