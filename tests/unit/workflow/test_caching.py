from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from lamina.errors import Problem, RegistryError
from lamina.execute.cache_keys import STEPS_KEY
from lamina.refs import Reference
from lamina.registries.base import Manifest
from lamina.workflow.caching import existing

THERE, ABSENT, DENIED = (Reference.parse(f"r.example/{name}:cache-main-amd64") for name in ("a", "b", "c"))


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


def test_a_cache_that_cannot_be_read_is_told_and_the_others_are_used() -> None:
    told = (Problem(what=f"may not read {DENIED}", where="r.example"),)

    assert existing(Shelf(), [DENIED, ABSENT, THERE, DENIED]) == ({THERE: "sha256:x"}, told)
