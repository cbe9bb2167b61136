"""A digest of the inputs of an image's cacheable steps, without files that are only copied on top."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterator, Mapping

from lamina.declare.dockerfile import Instruction
from lamina.declare.recipe import SourceFiles
from lamina.identify.image import Image
from lamina.identify.wildcard import fixed_part, is_wildcard
from lamina.json_data import Json, JsonDocument


def steps_digest(image: Image, mode: str) -> str:
    """Return ``sha256:<64 hex>`` over the inputs of an image's steps, without linked copies of its context.

    Images with equal digests find the same steps in a cache. The digest only affects speed, so a source with
    a wildcard counts with the whole folder that it searches.

    Args:
        mode: The cache mode.
    """
    recipe = image.node.recipe
    copies = {each.line for each in recipe.instructions if _is_linked_copy(each)}
    sources = [source for source in recipe.sources if source.line not in copies]
    inputs = image.inputs.document()
    hashed: JsonDocument = {
        **{key: inputs[key] for key in ("platform", "target", "args", "bases", "secrets")},
        "mode": mode,
        "parents": {name: parent for name, parent in image.inputs.parents.items() if _runs_on(image, name)},
        "steps": [
            (stage.base, [_line(each) for each in stage.stage.instructions if each.line not in copies])
            for stage in recipe.stages
        ],
        "files": {
            name: dict(_files(files, sources, name or None)) for name, files in image.inputs.files.items()
        },
    }
    return "sha256:" + hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()


def _runs_on(image: Image, parent: str) -> bool:
    """Whether steps depend on a base, instead of only being layered on top of it."""
    recipe = image.node.recipe
    return recipe.unlinked is not None or set(image.node.parents[parent]) != {recipe.chain[-1].base}


def _is_linked_copy(each: Instruction) -> bool:
    return each.name == "COPY" and each.is_linked and each.flag("from") is None


def _line(each: Instruction) -> Json:
    return [each.name, each.flags, each.words, [(doc.name, doc.content) for doc in each.heredocs]]


def _files(
    files: Mapping[str, str], sources: list[SourceFiles], context: str | None
) -> Iterator[tuple[str, str]]:
    paths = (path for source in sources if source.context == context for path in source.paths or (".",))
    folders = (fixed_part(path) if is_wildcard(path) else path for path in paths)
    places = {posixpath.normpath(folder.lstrip("/") or ".") for folder in folders}
    for path, digest in files.items():
        if any(place == "." or path == place or path.startswith(f"{place}/") for place in places):
            yield path, digest
