from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

EVENT = json.loads((Path(__file__).parent.parent / "event.json").read_text(encoding="utf-8"))
EMBED = {key: EVENT[key] for key in ("receipt_id", "lines")} | {"action": "embed"}
QUERY = {"action": "query", "text": "oat milk", "n_results": 1}


@pytest.fixture
def function(
    load_handler: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModuleType]:
    from chromadb.api.client import Client

    monkeypatch.delenv("CHROMA_PATH", raising=False)
    yield load_handler("embedding_step_functions")
    Client.clear_system_cache()  # Chroma has one memory in a process: forget it


def test_the_default_event_finds_the_line_it_asks_for(function: ModuleType) -> None:
    answer = function.handler(EVENT, None)

    assert json.loads(json.dumps(answer)) == answer
    assert [line["label"] for line in answer["embedded"]] == [
        "MERCHANT_NAME",
        "PHONE_NUMBER",
        "DATE",
        "PRODUCT_NAME",
        "PRODUCT_NAME",
        "TAX",
        "TOTAL",
    ]
    assert len(answer["results"]) == 2
    nearest = answer["results"][0]
    assert nearest.pop("distance") < 0.5
    assert nearest == {
        "receipt_id": "receipt-1",
        "line_id": 4,
        "label": "PRODUCT_NAME",
        "text": "ORGANIC BANANAS 2.49",
    }


def test_what_one_event_embeds_the_next_can_query(function: ModuleType) -> None:
    assert function.handler(EMBED, None).keys() == {"action", "receipt_id", "embedded"}

    answer = function.handler(QUERY, None)

    assert answer.keys() == {"action", "text", "results"}
    assert [line["text"] for line in answer["results"]] == ["OAT MILK 4.99"]


def test_a_line_is_near_itself_and_in_upper_case_too(function: ModuleType) -> None:
    function.handler(EMBED, None)

    (line,) = function.handler(QUERY | {"text": "green market"}, None)["results"]

    assert line["text"] == "GREEN MARKET"
    assert line["distance"] == pytest.approx(0, abs=1e-3)


def test_nothing_is_found_where_nothing_is(function: ModuleType) -> None:
    assert function.handler(QUERY, None)["results"] == []


def test_there_are_no_more_results_than_lines(function: ModuleType) -> None:
    function.handler(EMBED, None)

    assert len(function.handler(QUERY | {"n_results": 100}, None)["results"]) == 7


def test_embedding_a_line_again_replaces_it(function: ModuleType) -> None:
    function.handler(EMBED, None)
    function.handler(EMBED | {"lines": [{"line_id": 5, "text": "RYE BREAD 3.10"}]}, None)

    lines = function.handler(QUERY | {"n_results": 100}, None)["results"]

    assert len(lines) == 7
    assert "RYE BREAD 3.10" in {line["text"] for line in lines}


def test_lines_outlive_the_instance_under_chroma_path(
    load_handler: Callable[[str], ModuleType],
    function: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from chromadb.api.client import Client

    monkeypatch.setenv("CHROMA_PATH", str(tmp_path / "chroma"))
    function.handler(EMBED, None)
    Client.clear_system_cache()

    later = load_handler("embedding_step_functions")

    assert later.handler(QUERY, None)["results"][0]["line_id"] == 5
    monkeypatch.delenv("CHROMA_PATH")
    assert later.handler(QUERY, None)["results"] == []


def test_vectors_have_length_one_and_stay_the_same(function: ModuleType) -> None:
    embed = function.HashedNgrams(8)

    first, second = embed(["TOTAL 8.11", "total  8.11"])

    assert np.linalg.norm(first) == pytest.approx(1)
    assert np.array_equal(first, second)
    # Pinned: stored vectors are of use only as long as texts get the same ones.
    assert np.sign(first).tolist() == [1, 0, 1, -1, 1, 1, 1, -1]


def test_the_embedding_function_can_be_made_again_from_its_configuration(function: ModuleType) -> None:
    embed = function.HashedNgrams(64)

    again = function.HashedNgrams.build_from_config(embed.get_config())

    assert embed.name() == again.name() == "receipt_hashed_ngrams"
    assert np.array_equal(embed(["oat milk"]), again(["oat milk"]))


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ([], "the event must be an object"),
        ({}, "action must be one of embed, query, embed_and_query, not None"),
        (EMBED | {"action": "delete"}, "not 'delete'"),
        (EMBED | {"receipt_id": " "}, "receipt_id must be text"),
        (EMBED | {"receipt_id": "a#b"}, "receipt_id must be 1 to 128 letters"),
        (EMBED | {"lines": []}, "lines must be a list of at least one line"),
        (EMBED | {"lines": "TOTAL"}, "lines must be a list"),
        (EMBED | {"lines": ["TOTAL"]}, r"lines\[0\] must be an object with line_id and text"),
        (EMBED | {"lines": [{"line_id": 0, "text": "x"}]}, r"lines\[0\].line_id must be an integer from 1"),
        (EMBED | {"lines": [{"line_id": 1, "text": ""}]}, r"lines\[0\].text must be text"),
        (EMBED | {"lines": [{"line_id": 1, "text": "x"}] * 2}, r"lines\[1\].line_id 1 is there twice"),
        (QUERY | {"text": None}, "text must be text"),
        (QUERY | {"n_results": 0}, "n_results must be an integer from 1 to 100"),
        (QUERY | {"n_results": "5"}, "n_results must be"),
    ],
)
def test_a_bad_event_is_told_what_is_wrong(function: ModuleType, event: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function.handler(event, None)


def test_an_event_that_is_half_wrong_embeds_nothing(function: ModuleType) -> None:
    with pytest.raises(ValueError, match="n_results"):
        function.handler(EVENT | {"n_results": -1}, None)

    assert function.handler(QUERY, None)["results"] == []
