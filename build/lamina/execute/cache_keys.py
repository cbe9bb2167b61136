"""Remove dead keys from an exported cache: they make BuildKit fetch layers that it does not need.

An export has a key for every step, but no result for a layer of COPY --link on a base that was never
downloaded. BuildKit takes such a key for a possible match and, to check, loads the stage that the linked
layer was copied from: all dependencies of an image, on every empty runner. Without the key it loads nothing.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import TypedDict

from lamina.errors import Problem, RegistryError
from lamina.parallel import gather
from lamina.reachable import reachable
from lamina.refs import Reference
from lamina.registries.base import Manifest, Registry, sha256
from lamina.values import dataclass

STEPS_KEY = "dev.lamina.steps"
"""Annotation of a cache: the digest of the inputs of its steps; see `steps_digest`."""
CONFIG = "application/vnd.buildkit.cacheconfig.v0"
NEXT_EXPORT = "nothing to do: the next build of the image with --push writes it again"
_THREADS = 16


class CacheLink(TypedDict, total=False):
    """A record that another one is based on. link: its index."""

    link: int


class CacheLayer(TypedDict, total=False):
    """A layer of a result. blob: its digest."""

    blob: str


class CacheRecord(TypedDict, total=False):
    """A key of the cache. inputs: alternatives for each input."""

    inputs: list[list[CacheLink]]
    layers: list[dict[str, object]]
    chains: list[dict[str, object]]


class CacheConfig(TypedDict, total=False):
    """The configuration of a cache: https://github.com/moby/buildkit/blob/master/cache/remotecache/v1/types/doc.go"""

    layers: list[CacheLayer]
    records: list[CacheRecord]


def drop_dead_keys(config: CacheConfig) -> CacheConfig:
    """Return the configuration of a cache without records that neither have a result nor lead to one.

    Shape: ``records``, each with ``inputs`` (a list of alternatives for each, by index) and ``layers`` or
    ``chains``.
    """
    records = config["records"]
    alive = reachable(
        (index for index, each in enumerate(records) if each.get("layers") or each.get("chains")),
        lambda index: [each["link"] for slot in records[index].get("inputs") or () for each in slot],
    )
    moved = {old: new for new, old in enumerate(sorted(alive))}
    return {**config, "records": [_relinked(records[old], moved) for old in moved]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The expected content of a cache that was just exported.

    Attributes:
        steps: see `steps_digest`.
        layers: digests.
        stored: digests of layers that the registry has without the cache.
    """

    steps: str
    layers: frozenset[str] = frozenset()
    stored: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tidied:
    """What was found in exported caches.

    Attributes:
        problems: what went wrong.
        added: cache -> the bytes of its layers without those in `Exported.stored`, as far as it was read.
    """

    problems: tuple[Problem, ...] = ()
    added: Mapping[Reference, int] = field(default_factory=dict)


def tidy_caches(registry: Registry, caches: Mapping[Reference, Exported]) -> Tidied:
    """Rewrite just exported caches in parallel: remove dead keys, add `STEPS_KEY`. Return what was found.

    An export without the expected content does not get the annotation, so that the next run exports again.
    Errors are returned, not raised: a build does not fail because of its cache.
    """
    added: dict[Reference, int] = {}
    problems = _each(lambda ref: _tidy(registry, ref, caches[ref], added), caches)
    return Tidied(problems=problems, added=added)


def forget_steps(registry: Registry, refs: Iterable[Reference]) -> tuple[Problem, ...]:
    """Remove `STEPS_KEY` from incomplete caches, in parallel: the next run exports them again."""
    return _each(lambda ref: _forget(registry, ref), refs)


def _each(act: Callable[[Reference], tuple[Problem, ...]], refs: Iterable[Reference]) -> tuple[Problem, ...]:
    def safely(ref: Reference) -> tuple[Problem, ...]:
        try:
            return act(ref)
        except RegistryError as error:
            return error.problems
        except (KeyError, TypeError, ValueError):  # a later form of the configuration: leave it as it is
            return ()

    found = gather(safely, refs, threads=_THREADS)
    return tuple(problem for problems in found for problem in problems)


def _tidy(
    registry: Registry, ref: Reference, wanted: Exported, added: dict[Reference, int]
) -> tuple[Problem, ...]:
    manifest = registry.manifest(ref)
    if manifest is None:
        return (_lost(ref, "it is missing after its export"),)
    if manifest.config is None or manifest.config.media_type != CONFIG:
        return ()
    if (written := manifest.annotations.get(STEPS_KEY)) is not None:  # BuildKit sets none
        other = "it was written by another run: the export did not arrive, or another run replaced it"
        return () if written == wanted.steps else (_lost(ref, other),)
    added[ref] = sum(each.size for each in manifest.layers if each.digest not in wanted.stored)
    found = _read(registry, ref, manifest)
    if missing := wanted.layers - {layer["blob"] for layer in found["layers"]}:
        return (_lost(ref, f"it lacks the result of a step, layer {min(missing)[:19]}"),)
    config = json.dumps(drop_dead_keys(found), separators=(",", ":")).encode()
    registry.write(ref, _rewritten(manifest, config, wanted.steps), config)
    return ()


def _forget(registry: Registry, ref: Reference) -> tuple[Problem, ...]:
    manifest = registry.manifest(ref)
    if manifest is not None and STEPS_KEY in manifest.annotations:
        document = json.loads(manifest.raw)
        del document["annotations"][STEPS_KEY]
        registry.write(ref, Manifest.of(json.dumps(document).encode(), manifest.media_type))
    return ()


def _lost(ref: Reference, what: str) -> Problem:
    return Problem(what=f"the remote cache {ref} cannot serve: {what}", hint=NEXT_EXPORT)


def _read(registry: Registry, ref: Reference, manifest: Manifest) -> CacheConfig:
    assert manifest.config is not None  # noqa: S101 - looked at before
    sink = io.BytesIO()
    registry.blob(ref, manifest.config, sink)
    read: CacheConfig = json.loads(sink.getvalue())
    return read


def _rewritten(manifest: Manifest, config: bytes, steps: str) -> Manifest:
    document = json.loads(manifest.raw)
    document["config"] |= {"digest": sha256(config), "size": len(config)}
    document["annotations"] = {**(document.get("annotations") or {}), STEPS_KEY: steps}
    return Manifest.of(json.dumps(document, separators=(",", ":")).encode(), manifest.media_type)


def _relinked(record: CacheRecord, moved: Mapping[int, int]) -> CacheRecord:
    """Return the record with its inputs renumbered."""
    if not record.get("inputs"):
        return record
    slots: list[list[CacheLink]] = [
        [{**each, "link": moved[each["link"]]} for each in slot] for slot in record["inputs"]
    ]
    return {**record, "inputs": slots}
