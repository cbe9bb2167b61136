from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest

from lamina.errors import Problem
from lamina.execute.outcome import Outcome, Result, Status
from lamina.identify.image import Image
from lamina.report.record import KEPT_INPUTS, read_inputs, read_last_inputs, read_manifest, write_manifest

from ..conftest import DIGEST, Repo

D, L, E, W = "base-receipt-dynamo", "base-receipt-label", "lambda-embedding", "lambda-word-label"


def outcome(*results: tuple[Image, Status, str | None]) -> Outcome:
    return Outcome(
        results={
            image.name: Result(image=image, status=status, reasons=(), digest=digest)
            for image, status, digest in results
        },
        problems=(Problem(what="x"),) if any(status == "failed" for _, status, _ in results) else (),
    )


def recorded(state: Path) -> dict[str, str]:
    return {each["image"]: each["action"] for each in read_manifest(state)}


def test_only_what_is_confirmed_is_recorded(receipts: Repo, tmp_path: Path) -> None:
    images = receipts.images()
    done = outcome(
        (images[D], "built", DIGEST),
        (images[L], "failed", None),
        (images[E], "cancelled", None),
        (images[W], "built", None),
    )

    write_manifest(tmp_path, done, run="one")

    assert recorded(tmp_path) == {D: "built"}
    assert set(read_last_inputs(tmp_path, images.values())) == {D}
    document = json.loads((tmp_path / "manifest.json").read_text())
    assert (document["schema"], document["run"]) == (1, "one")


def test_entries_of_other_runs_stay(receipts: Repo, tmp_path: Path) -> None:
    images = receipts.images()
    write_manifest(tmp_path, outcome((images[W], "built", DIGEST)), run="one")
    write_manifest(
        tmp_path, outcome((images[D], "pushed", DIGEST), (images[W], "skipped", DIGEST)), run="two"
    )

    assert recorded(tmp_path) == {D: "pushed", W: "skipped"}


def test_nothing_done_leaves_no_file(receipts: Repo, tmp_path: Path) -> None:
    write_manifest(tmp_path / "state", outcome((receipts.images()[W], "failed", None)), run="one")

    assert not (tmp_path / "state").exists()
    assert read_manifest(tmp_path / "state") == []


def test_inputs_are_kept_for_each_platform(receipts: Repo, tmp_path: Path) -> None:
    here = receipts.images()[W]
    receipts.flags["platform"] = "linux/arm64"
    there = receipts.images()[W]
    write_manifest(tmp_path, outcome((here, "built", DIGEST)), run="one")

    assert read_last_inputs(tmp_path, [here]) == {W: here.inputs}
    assert read_last_inputs(tmp_path, [there]) == {}


@pytest.mark.parametrize(
    "content", ["", "[]", '{"schema": 2, "images": [{"image": "x"}]}', '{"schema": 1, "images": [3]}']
)
def test_a_damaged_manifest_is_an_empty_one(receipts: Repo, tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    assert read_manifest(tmp_path) == []

    write_manifest(tmp_path, outcome((receipts.images()[W], "built", DIGEST)), run="one")
    assert recorded(tmp_path) == {W: "built"}


def test_the_inputs_of_an_image_that_stayed_the_same_is_not_written_again(
    receipts: Repo, tmp_path: Path
) -> None:
    image = receipts.images()[W]
    write_manifest(tmp_path, outcome((image, "built", DIGEST)), run="one")
    before = {file: file.stat().st_ino for file in (tmp_path / "bills").rglob("*.json")}

    write_manifest(tmp_path, outcome((image, "skipped", DIGEST)), run="two")

    assert before == {file: file.stat().st_ino for file in (tmp_path / "bills").rglob("*.json")}
    assert len(before) == 2


def test_a_damaged_inputs_is_none(receipts: Repo, tmp_path: Path) -> None:
    image = receipts.images()[W]
    write_manifest(tmp_path, outcome((image, "built", DIGEST)), run="one")
    for file in (tmp_path / "bills").glob("*.json"):
        file.write_text('{"schema": 1, "platform": 3}')

    assert read_last_inputs(tmp_path, [image]) == {}


def test_inputs_of_earlier_builds_are_kept_by_content_tag(receipts: Repo, tmp_path: Path) -> None:
    first = receipts.images()[E]
    receipts.write("embedding/handler.py", "new\n")
    second = receipts.images()[E]
    for image in (first, second):
        write_manifest(tmp_path, outcome((image, "built", DIGEST)), run="one")

    assert read_inputs(tmp_path, E, first.tag) == first.inputs
    assert read_inputs(tmp_path, E, second.tag) == second.inputs
    assert read_inputs(tmp_path, W, first.tag) is None
    assert read_last_inputs(tmp_path, [second]) == {E: second.inputs}


def test_only_the_newest_inputs_are_kept(receipts: Repo, tmp_path: Path) -> None:
    tags = []
    for number in range(KEPT_INPUTS + 2):
        receipts.write("embedding/handler.py", f"{number}\n")
        image = receipts.images()[E]
        write_manifest(tmp_path, outcome((image, "built", DIGEST)), run="one")
        for age, tag in enumerate(reversed(tags)):  # a clock may stand still between two writes
            with contextlib.suppress(FileNotFoundError):
                os.utime(tmp_path / "bills" / E / f"{tag}.json", (10_000 - age, 10_000 - age))
        tags.append(image.tag)

    assert {tag: read_inputs(tmp_path, E, tag) is not None for tag in tags} == {
        tag: number >= 2 for number, tag in enumerate(tags)
    }


def test_a_kept_inputs_that_is_not_that_of_its_tag_is_none(receipts: Repo, tmp_path: Path) -> None:
    image = receipts.images()[E]
    write_manifest(tmp_path, outcome((image, "built", DIGEST)), run="one")
    folder = tmp_path / "bills" / E
    (folder / f"{image.tag}.json").rename(folder / "sha-000000000000.json")

    assert read_inputs(tmp_path, E, "sha-000000000000") is None


def test_file_names_that_are_no_text_can_be_recorded(repo: Repo, tmp_path: Path) -> None:
    (repo.root / "bad\udcff").write_text("x")
    repo.image("app", "FROM scratch", "COPY bad? /")
    image = repo.images()["app"]

    write_manifest(tmp_path, outcome((image, "built", DIGEST)), run="one")

    assert read_last_inputs(tmp_path, [image]) == {"app": image.inputs}
