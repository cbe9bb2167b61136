"""What is kept of runs: ``.lamina/manifest.json``, and of each image the bills of what was built here."""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.files import read_json, write_json
from lamina.identify.fingerprint import BuildInputs, content_tag
from lamina.identify.image import Image
from lamina.report.document import SCHEMA, entry

if TYPE_CHECKING:
    from lamina.execute.outcome import Outcome

KEPT_BILLS = 20
"""Of each image: bills are as large as contexts have files, and the registry has those that were pushed."""
_DONE = ("built", "retagged", "pushed", "skipped")


def write_manifest(state: Path, outcome: Outcome, *, run: str, pushed: bool = False) -> None:
    """Put what is confirmed into the manifest; what other runs put there stays.

    pushed: whether it was confirmed in the registry. What was pushed once is, whatever is built of it here.
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
                write_json(_bill_file(state, image), image.bill.document())
                _keep_bill(state, image)
        write_json(state / "manifest.json", document)


def read_manifest(state: Path) -> list[dict[str, Any]]:
    """The entries of the manifest; none when there is no file, or none of this schema."""
    document = read_json(state / "manifest.json")
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        return []
    return [each for each in document.get("images", []) if isinstance(each, dict) and "image" in each]


def read_bills(state: Path, images: Iterable[Image]) -> Mapping[str, BuildInputs]:
    """The bills from which the images were last built here."""
    found = {image.name: BuildInputs.from_document(read_json(_bill_file(state, image))) for image in images}
    return {name: bill for name, bill in found.items() if bill is not None}


def read_bill(state: Path, image: str, tag: str) -> BuildInputs | None:
    """The bill of an image that was built here, by its content tag; None when it is not kept."""
    bill = BuildInputs.from_document(read_json(_kept_bills(state, image) / f"{tag}.json"))
    return bill if bill and content_tag(bill.fingerprint) == tag else None


def _keep_bill(state: Path, image: Image) -> None:
    """Put the bill with the earlier ones of the image, of which the oldest give way."""
    folder = _kept_bills(state, image.name)
    write_json(folder / f"{image.tag}.json", image.bill.document())
    kept = sorted(folder.glob("*.json"), key=lambda each: each.stat().st_mtime_ns, reverse=True)
    for each in kept[KEPT_BILLS:]:
        each.unlink()


def _kept_bills(state: Path, image: str) -> Path:
    return state / "bills" / image


def _bill_file(state: Path, image: Image) -> Path:
    platform = image.node.spec.platform.replace("/", "-")
    return state / "bills" / f"{image.name}@{platform}.json"


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """One writer at a time; the lock goes with the process that holds it."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "manifest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
