"""An exported cache put in order: without dead keys, which make BuildKit fetch layers that it does not need.

An export holds a key for every step, but no result for a layer of COPY --link on a base that was never
downloaded. BuildKit takes such a key for a chance of a match and, to find out, loads what the linked stage
was copied from: all dependencies of an image, on every empty runner. Without the key it loads nothing.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lamina.errors import Problem, RegistryError
from lamina.refs import Reference
from lamina.registries.base import Manifest, Registry, sha256

STEPS_KEY = "dev.lamina.steps"
"""Annotation of a cache: the digest of what its steps depend on."""
CONFIG = "application/vnd.buildkit.cacheconfig.v0"
_THREADS = 16


def drop_dead_keys(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration of a cache without records that neither have a result nor lead to one.

    Shape: ``records``, each with ``inputs`` (a list of alternatives for each, by index) and ``layers`` or
    ``chains``; https://github.com/moby/buildkit/blob/master/cache/remotecache/v1/types/doc.go
    """
    records = config["records"]
    waiting = [index for index, each in enumerate(records) if each.get("layers") or each.get("chains")]
    alive: set[int] = set()
    while waiting:
        index = waiting.pop()
        if index not in alive:
            alive.add(index)
            waiting += [each["link"] for slot in records[index].get("inputs") or () for each in slot]
    moved = {old: new for new, old in enumerate(sorted(alive))}
    return {**config, "records": [_relinked(records[old], moved) for old in moved]}


def tidy_caches(registry: Registry, caches: Mapping[Reference, str]) -> tuple[Problem, ...]:
    """Rewrite caches that were just exported, in parallel: without dead keys, and with `STEPS_KEY`.

    caches: reference -> its steps. What went wrong comes back; no build fails for its cache.
    """
    if not caches:
        return ()
    with ThreadPoolExecutor(min(_THREADS, len(caches)), thread_name_prefix="cache") as pool:
        told = pool.map(lambda ref: _tidy(registry, ref, caches[ref]), caches)
        return tuple(problem for problems in told for problem in problems)


def _tidy(registry: Registry, ref: Reference, steps: str) -> tuple[Problem, ...]:
    try:
        manifest = registry.manifest(ref)
        if manifest is None or manifest.config is None or manifest.config.media_type != CONFIG:
            return ()
        config = json.dumps(drop_dead_keys(_read(registry, ref, manifest)), separators=(",", ":")).encode()
        registry.write(ref, _rewritten(manifest, config, steps), config)
    except RegistryError as error:
        return error.problems
    except (KeyError, TypeError, ValueError):  # a later form of the configuration: leave it as it is
        return ()
    return ()


def _read(registry: Registry, ref: Reference, manifest: Manifest) -> Mapping[str, Any]:
    assert manifest.config is not None  # noqa: S101 - looked at before
    sink = io.BytesIO()
    registry.blob(ref, manifest.config, sink)
    read: Mapping[str, Any] = json.loads(sink.getvalue())
    return read


def _rewritten(manifest: Manifest, config: bytes, steps: str) -> Manifest:
    document = json.loads(manifest.raw)
    document["config"] |= {"digest": sha256(config), "size": len(config)}
    document["annotations"] = {**(document.get("annotations") or {}), STEPS_KEY: steps}
    return Manifest.of(json.dumps(document, separators=(",", ":")).encode(), manifest.media_type)


def _relinked(record: Mapping[str, Any], moved: Mapping[int, int]) -> Mapping[str, Any]:
    """The record with its inputs under their new numbers."""
    if not record.get("inputs"):
        return record
    slots = [[{**each, "link": moved[each["link"]]} for each in slot] for slot in record["inputs"]]
    return {**record, "inputs": slots}
