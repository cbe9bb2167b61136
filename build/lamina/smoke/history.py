"""Remember what starts of functions cost, in ``.lamina/smoke/``, and compare with the last one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lamina.files import read_json, write_json
from lamina.smoke.container import Smoked

SCHEMA = 1
KEPT = 20
"""Runs kept of each function."""


def last_inits(state: Path, images: Iterable[str]) -> Mapping[tuple[str, str], Mapping[str, Any]]:
    """Return image and function -> the document of its last measured run, where there is one."""
    return {
        (image, function): runs[-1]
        for image in images
        for function, runs in _read(state, image).items()
        if runs
    }


def keep_inits(state: Path, smoked: Iterable[Smoked], documents: Iterable[Mapping[str, Any]]) -> None:
    """Add measured runs to those of their images. documents: of each, in the same order."""
    for each, document in zip(smoked, documents, strict=True):
        if each.init is None:
            continue
        kept = {**_read(state, each.image)}
        kept[each.function] = [*kept.get(each.function, []), {"tag": each.tag, **document}][-KEPT:]
        write_json(_file(state, each.image), {"schema": SCHEMA, "functions": kept})


def every_init(state: Path) -> Iterator[tuple[str, str, list[Mapping[str, Any]]]]:
    """Yield image, function and kept runs of all images, the last run last."""
    for file in sorted(state.joinpath("smoke").glob("*.json")):
        for function, runs in _read(state, file.stem).items():
            yield file.stem, function, runs


def _read(state: Path, image: str) -> Mapping[str, list[Mapping[str, Any]]]:
    document = read_json(_file(state, image))
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        return {}
    functions = document.get("functions")
    return functions if isinstance(functions, dict) else {}


def _file(state: Path, image: str) -> Path:
    return state / "smoke" / f"{image}.json"
