"""What a run spares, and against what that is measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lamina.execute.outcome import Outcome, Result, Saved
from lamina.report import cold
from lamina.report.cold import read_colds, with_saved

from ..conftest import Repo

D, W = "base-receipt-dynamo", "lambda-word-label"


@pytest.fixture
def results(receipts: Repo) -> dict[str, Result]:
    """Two images built from nothing, for six seconds in which they overlapped for two."""
    images = receipts.images()
    common: dict[str, Any] = {"status": "built", "reasons": (), "cold": True, "total": 2}
    return {
        D: Result(
            image=images[D],
            seconds=4.0,
            spans=((100.0, 104.0),),
            moved=10,
            layers={"a": 500, "b": 50},
            **common,
        ),
        W: Result(image=images[W], seconds=4.0, spans=((102.0, 106.0),), layers={"c": 7}, **common),
    }


def run(state: Path, results: dict[str, Result], **changes: dict[str, Any]) -> Outcome:
    changed = {
        name: replace(result, **changes.get(name.split("-")[0], {})) for name, result in results.items()
    }
    return with_saved(state, Outcome(results=changed), run="now", pushed=False)


SKIPPED: dict[str, Any] = {
    "status": "skipped", "cold": False, "seconds": 0.0, "spans": (), "moved": 0, "layers": {}
}  # fmt: skip


def test_a_first_build_has_nothing_to_compare_with(tmp_path: Path, results: dict[str, Result]) -> None:
    outcome = run(tmp_path, results)

    assert (outcome.saved, outcome.saved_in_all) == ({}, None)
    assert {key.partition("@")[0]: each.run for key, each in read_colds(tmp_path).items()} == {
        D: "now",
        W: "now",
    }


def test_a_skip_spares_all_and_a_second_of_two_images_counts_once(
    tmp_path: Path, results: dict[str, Result]
) -> None:
    run(tmp_path, results)

    outcome = run(tmp_path, results, base=SKIPPED, **{"lambda": SKIPPED})

    assert outcome.saved == {D: Saved(seconds=4.0, bytes=560), W: Saved(seconds=4.0, bytes=7)}
    assert outcome.saved_in_all == Saved(seconds=6.0, bytes=567)


def test_a_build_spares_the_layers_that_stay_and_the_time_it_did_not_take(
    tmp_path: Path, results: dict[str, Result]
) -> None:
    run(tmp_path, results)

    edited = {
        "cold": False,
        "seconds": 1.0,
        "spans": ((200.0, 201.0),),
        "moved": 2,
        "layers": {"a": 500, "n": 60},
    }
    outcome = run(tmp_path, results, base=edited)

    assert outcome.saved == {D: Saved(seconds=3.0, bytes=498)}
    assert W not in outcome.saved, "it was cold again, and so the measure itself"


def test_nothing_is_ever_less_than_spared(tmp_path: Path, results: dict[str, Result]) -> None:
    run(tmp_path, results)

    slow = {"cold": False, "seconds": 9.0, "spans": ((200.0, 209.0),), "moved": 10**6, "layers": {"n": 1}}
    outcome = run(tmp_path, results, base=slow)

    assert outcome.saved_in_all == Saved(seconds=0.0, bytes=0)


def test_layers_of_an_engine_are_not_held_against_those_of_a_registry(
    tmp_path: Path, results: dict[str, Result]
) -> None:
    run(tmp_path, results)

    edited = replace(results[D], cold=False, layers={"packed": 3})
    outcome = with_saved(tmp_path, Outcome(results={D: edited}), run="now", pushed=True)

    assert outcome.saved == {D: Saved(seconds=0.0, bytes=None)}
    assert outcome.saved_in_all == Saved(seconds=0.0, bytes=None)


def test_a_failed_image_spares_nothing(tmp_path: Path, results: dict[str, Result]) -> None:
    run(tmp_path, results)

    assert run(tmp_path, results, base={"status": "failed"}, **{"lambda": SKIPPED}).saved.keys() == {W}


@pytest.mark.parametrize("content", ["", "[]", '{"images": {"x": {}}}', '{"images": {"x": {"run": 1}}}'])
def test_a_damaged_file_is_as_none(content: str, tmp_path: Path, results: dict[str, Result]) -> None:
    (tmp_path / "cold.json").write_text(content)

    assert run(tmp_path, results, base=SKIPPED, **{"lambda": SKIPPED}).saved_in_all is None
    assert run(tmp_path, results).saved_in_all is None
    assert len(read_colds(tmp_path)) == 2


def test_images_of_long_ago_give_way(
    tmp_path: Path, results: dict[str, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cold, "KEPT", 1)
    with_saved(tmp_path, Outcome(results={D: results[D]}), run="1", pushed=False)
    with_saved(tmp_path, Outcome(results={W: results[W]}), run="2", pushed=False)

    assert [key.partition("@")[0] for key in read_colds(tmp_path)] == [W]
