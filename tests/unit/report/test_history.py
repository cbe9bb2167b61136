"""Runs read back: recorded events, and folders of which something is missing or damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.report.history import read_run, run_ids

from .runs import COLD, EDITED, RECORDED, A, B, put, put_edit, put_pair, read


def states(state: Path, run: str, image: str) -> dict[str, str]:
    _, steps = read(state, run)
    return {step.place: step.state for step in steps if step.image == image and step.is_instruction}


def test_a_run_is_what_its_file_says(tmp_path: Path) -> None:
    put_pair(tmp_path, "ok", saved={"seconds": 1.5, "bytes": None}, problems=[{"what": "x", "where": None}])

    run = read_run(tmp_path, COLD)

    assert (run.command, run.seconds, run.complete, run.ok) == ("build-all", 4.0, True, True)
    assert [(image.name, image.parents) for image in run.images] == [(A, ()), (B, (A,))]
    assert run.saved is not None
    assert (run.saved.seconds, run.saved.bytes) == (1.5, None)
    assert run.problems == ("x",)


def test_steps_are_reported_from_the_recorded_events(tmp_path: Path) -> None:
    put_pair(tmp_path, "fail")

    assert states(tmp_path, COLD, A) == {"deps 1/2": "cached", "deps 2/2": "ran", "stage-1 1/1": "ran"}
    assert states(tmp_path, COLD, B) == {"1/3": "ran", "2/3": "failed"}


def test_an_edited_handler_runs_one_step(tmp_path: Path) -> None:
    put_edit(tmp_path)

    assert states(tmp_path, EDITED, "lambda-embedding") == {
        "deps 1/3": "cached",
        "deps 2/3": "cached",
        "stage-1 1/3": "cached",
        "stage-1 2/3": "ran",
    }


def test_a_step_of_a_sibling_is_shared_and_one_of_a_base_is_the_bases(tmp_path: Path) -> None:
    siblings = put_pair(tmp_path, "ok", run=EDITED)
    (siblings / "bake-1.json").write_text('{"target": {"base-a": {}, "lambda-b": {}}}')
    (siblings / "run.json").unlink()
    put_pair(tmp_path, "ok")

    _, steps = read(tmp_path, EDITED)
    assert states(tmp_path, EDITED, B)["deps 2/2"] == "shared"
    assert {step.by for step in steps if step.state == "shared"} == {A}
    assert "deps 2/2" not in states(tmp_path, COLD, B)


def test_a_run_that_was_killed_is_read_as_far_as_it_got(tmp_path: Path) -> None:
    folder = put_pair(tmp_path, "fail")
    (folder / "run.json").unlink()
    events = (RECORDED / "fail.jsonl").read_bytes()
    (folder / "events-1.jsonl").write_bytes(events[: len(events) // 2])

    run, steps = read(tmp_path, COLD)

    assert (run.complete, run.command, run.seconds) == (False, "", None)
    assert [(image.name, image.status) for image in run.images] == [(A, "unknown"), (B, "unknown")]
    assert {step.state for step in steps} >= {"ran", "waiting"}


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"schema": 2}', '{"schema": 1, "started": "soon"}', "\udc80"]
)
def test_a_damaged_file_is_as_none(content: str, tmp_path: Path) -> None:
    folder = put_pair(tmp_path, "ok")
    (folder / "run.json").write_bytes(content.encode("utf-8", "surrogateescape"))

    run, steps = read(tmp_path, COLD)

    assert not run.complete
    assert len(run.images) == 2
    assert steps


@pytest.mark.parametrize(
    "line",
    [
        b'{"vertexes": [3]}', b'{"vertexes": 3}', b'{"logs": [{"vertex": 1}]}', b'{"statuses": [null]}',
        b'{"vertexes": [{"name": "[a 1/1] RUN x", "digest": "1", "started": "soon"}]}', b"\xff\xfe", b"[]",
    ],
)  # fmt: skip
def test_a_damaged_line_is_left_out(line: bytes, tmp_path: Path) -> None:
    folder = put_pair(tmp_path, "ok")
    before = states(tmp_path, COLD, A)
    with (folder / "events-1.jsonl").open("ab") as events:
        events.write(line + b"\n")

    assert states(tmp_path, COLD, A) == before


@pytest.mark.parametrize("content", ["", "[]", '{"target": []}', '{"target": null}'])
def test_without_a_bake_file_nothing_is_known_of_steps(content: str, tmp_path: Path) -> None:
    folder = put_pair(tmp_path, "ok")
    (folder / "bake-1.json").write_text(content)

    assert read(tmp_path, COLD)[1] == ()


def test_of_several_tries_the_one_that_says_most_counts(tmp_path: Path) -> None:
    folder = put_pair(tmp_path, "fail")
    (folder / "bake-2.json").write_bytes((folder / "bake-1.json").read_bytes())
    (folder / "events-2.jsonl").write_bytes((RECORDED / "ok.jsonl").read_bytes())

    assert states(tmp_path, COLD, A)["deps 2/2"] == "ran"


def test_names_of_targets_are_names_of_images_again(tmp_path: Path) -> None:
    put(tmp_path, COLD, RECORDED / "one.jsonl", {"base_DOT_a": {}})

    assert [image.name for image in read_run(tmp_path, COLD).images] == ["base.a"]


def test_runs_are_listed_the_latest_first_and_audits_are_none(tmp_path: Path) -> None:
    for name in (COLD, EDITED, "20261125T120000-cccccc-audit", "notes"):
        (tmp_path / "runs" / name).mkdir(parents=True)

    assert run_ids(tmp_path) == (EDITED, COLD)
    assert run_ids(tmp_path / "nowhere") == ()
