"""What is kept of runs: ``.lamina/manifest.json`` and the bill of each image as last built."""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.files import read_json, write_json
from lamina.identify.fingerprint import Bill
from lamina.identify.image import Image
from lamina.report.document import SCHEMA, entry

if TYPE_CHECKING:
    from lamina.execute.run import Outcome

_DONE = ("built", "retagged", "pushed", "skipped")


def write_manifest(state: Path, outcome: Outcome, *, run: str) -> None:
    """Put what is confirmed into the manifest; what other runs put there stays."""
    done = [result for result in outcome.results.values() if result.status in _DONE and result.digest]
    if not done:
        return
    with alone(state):
        entries = {each["image"]: each for each in read_manifest(state)}
        entries |= {result.image.name: entry(result) for result in done}
        document = {"schema": SCHEMA, "run": run, "images": [entries[name] for name in sorted(entries)]}
        write_json(state / "manifest.json", document)
        for result in done:
            write_json(_bill_file(state, result.image), result.image.bill.document())


def read_manifest(state: Path) -> list[dict[str, Any]]:
    """The entries of the manifest; none when there is no file, or none of this schema."""
    document = read_json(state / "manifest.json")
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        return []
    return [each for each in document.get("images", []) if isinstance(each, dict) and "image" in each]


def read_bills(state: Path, images: Iterable[Image]) -> Mapping[str, Bill]:
    """The bills from which the images were last built here."""
    found = {image.name: Bill.from_document(read_json(_bill_file(state, image))) for image in images}
    return {name: bill for name, bill in found.items() if bill is not None}


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
