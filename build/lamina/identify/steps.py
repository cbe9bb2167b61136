"""What decides the steps that a remote cache is for: all of an image but what is only copied onto it."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterator
from typing import Any

from lamina.declare.dockerfile import Instruction
from lamina.declare.recipe import SourceFiles
from lamina.identify.image import Image
from lamina.identify.wildcard import fixed_part, is_wildcard


def steps_digest(image: Image, mode: str) -> str:
    """``sha256:<64 hex>`` over what reaches the image's steps other than linked copies of its context.

    mode: of the cache. Two images of one digest find the same steps in a cache; the digest serves speed
    alone, so where a source is a pattern the whole folder around it counts.
    """
    recipe = image.node.recipe
    copies = {each.line for each in recipe.instructions if _is_linked_copy(each)}
    sources = [source for source in recipe.sources if source.line not in copies]
    bill = image.bill.document()
    told: dict[str, Any] = {
        **{key: bill[key] for key in ("platform", "target", "args", "bases", "secrets")},
        "mode": mode,
        "parents": {name: parent for name, parent in bill["parents"].items() if _runs_on(image, name)},
        "steps": [
            (stage.base, [_line(each) for each in stage.stage.instructions if each.line not in copies])
            for stage in recipe.stages
        ],
        "files": {name: dict(_files(files, sources, name or None)) for name, files in bill["files"].items()},
    }
    return "sha256:" + hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _runs_on(image: Image, parent: str) -> bool:
    """Whether steps depend on a base, rather than only being put on top of it."""
    recipe = image.node.recipe
    return recipe.unlinked is not None or set(image.node.parents[parent]) != {recipe.chain[-1].base}


def _is_linked_copy(each: Instruction) -> bool:
    return each.name == "COPY" and each.flag("link") in {"", "true"} and each.flag("from") is None


def _line(each: Instruction) -> Any:
    return [each.name, each.flags, each.words, [(doc.name, doc.content) for doc in each.heredocs]]


def _files(
    files: dict[str, str], sources: list[SourceFiles], context: str | None
) -> Iterator[tuple[str, str]]:
    paths = (path for source in sources if source.context == context for path in source.paths or (".",))
    folders = (fixed_part(path) if is_wildcard(path) else path for path in paths)
    places = {posixpath.normpath(folder.lstrip("/") or ".") for folder in folders}
    for path, digest in files.items():
        if any(place == "." or path == place or path.startswith(f"{place}/") for place in places):
            yield path, digest
