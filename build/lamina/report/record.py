"""Keep ``.lamina/manifest.json``, and the build inputs of the images built on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.files import locked, read_json, write_json
from lamina.identify.fingerprint import BuildInputs, content_tag
from lamina.identify.image import Image
from lamina.report.document import SCHEMA, entry

if TYPE_CHECKING:
    from lamina.execute.outcome import Outcome

KEPT_INPUTS = 20
"""Build inputs kept for each image. They grow with the context; pushed images carry theirs."""
_DONE = ("built", "retagged", "pushed", "skipped")


def write_manifest(state: Path, outcome: Outcome, *, run: str, pushed: bool = False) -> None:
    """Write the confirmed images into the manifest; keep the entries of other runs.

    pushed: whether they were confirmed in the registry. An image pushed before with the same reference stays
    marked as pushed.
    """
    done = [result for result in outcome.results.values() if result.status in _DONE and result.digest]
    if not done:
        return
    with alone(state):
        before = {each["image"]: each for each in read_manifest(state)}
        entries = before | {result.image.name: entry(result) for result in done}
        for name in (result.image.name for result in done):
            old, new = before.get(name, {}), entries[name]
            new["pushed"] = pushed or (old.get("ref") == new["ref"] and old.get("pushed") is True)
        document = {"schema": SCHEMA, "run": run, "images": [entries[name] for name in sorted(entries)]}
        for image in (result.image for result in done):
            if before.get(image.name, {}).get("fingerprint") != image.fingerprint:
                write_json(_last_file(state, image), image.inputs.document())
                _keep_inputs(state, image)
        write_json(state / "manifest.json", document)


def read_manifest(state: Path) -> list[dict[str, Any]]:
    """Read the entries of the manifest; empty if the file is missing or has another schema."""
    document = read_json(state / "manifest.json")
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        return []
    return [each for each in document.get("images", []) if isinstance(each, dict) and "image" in each]


def read_last_inputs(state: Path, images: Iterable[Image]) -> Mapping[str, BuildInputs]:
    """Read the build inputs of each image's last build on this machine."""
    found = {image.name: BuildInputs.from_document(read_json(_last_file(state, image))) for image in images}
    return {name: inputs for name, inputs in found.items() if inputs is not None}


def kept_platforms(state: Path, image: str) -> tuple[str, ...]:
    """Return the platforms for which an image was built on this machine."""
    files = sorted((state / "bills").glob(f"{image}@*.json"))
    return tuple(file.stem.partition("@")[2].replace("-", "/") for file in files)


def read_inputs(state: Path, image: str, tag: str) -> BuildInputs | None:
    """Read the build inputs of an image by its content tag; None if they are not kept."""
    inputs = BuildInputs.from_document(read_json(_kept_folder(state, image) / f"{tag}.json"))
    return inputs if inputs and content_tag(inputs.fingerprint) == tag else None


def kept_tags(state: Path, image: str) -> tuple[str, ...]:
    """Return the content tags of the kept build inputs of an image, the last built here first."""
    return tuple(file.stem for file in _kept_files(state, image))


def _kept_files(state: Path, image: str) -> list[Path]:
    files = _kept_folder(state, image).glob("*.json")
    return sorted(files, key=lambda each: each.stat().st_mtime_ns, reverse=True)


def _keep_inputs(state: Path, image: Image) -> None:
    """Keep the build inputs beside the image's earlier ones, and delete the oldest."""
    folder = _kept_folder(state, image.name)
    write_json(folder / f"{image.tag}.json", image.inputs.document())
    for each in _kept_files(state, image.name)[KEPT_INPUTS:]:
        each.unlink()


def _kept_folder(state: Path, image: str) -> Path:
    return state / "bills" / image


def platform_file(folder: Path, image: Image) -> Path:
    """Return the JSON file of an image and its platform in a folder."""
    platform = image.node.spec.platform.replace("/", "-")
    return folder / f"{image.name}@{platform}.json"


def _last_file(state: Path, image: Image) -> Path:
    return platform_file(state / "bills", image)


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """Hold the lock of the state folder: one writer at a time. It is released if the process dies."""
    with locked(state / "manifest.lock"):
        yield
