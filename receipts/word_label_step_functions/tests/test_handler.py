from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from receipt_dynamo import Label, TableError, Word
from receipt_dynamo.client import DynamoClient

FOLDER = Path(__file__).parent.parent
EVENT = json.loads((FOLDER / "event.json").read_text(encoding="utf-8"))
WORD = {"line_id": 9, "word_id": 1, "text": "Thanks"}
TOTAL = {"line_id": 9, "word_id": 1, "name": "TOTAL", "source": "rules"}
ANSWER = {
    "receipt_id": "receipt-1",
    "words": 4,
    "labelled": 3,
    "by_label": {"MERCHANT_NAME": ["GREEN", "MARKET"], "TOTAL": ["$8.11"]},
    "unlabelled": ["TOTAL"],
}


@pytest.fixture
def function(load_handler: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.delenv("DYNAMO_TABLE_NAME", raising=False)
    return load_handler("word_label_step_functions")


def test_the_default_event_is_answered_without_a_table(function: ModuleType) -> None:
    answer = function.handler(EVENT, None)

    assert answer == ANSWER | {"table": None}
    assert json.loads(json.dumps(answer)) == answer


def test_words_alone_are_all_unlabelled(function: ModuleType) -> None:
    answer = function.handler({"receipt_id": "r-1", "words": [WORD]}, None)

    assert (answer["labelled"], answer["by_label"], answer["unlabelled"]) == (0, {}, ["Thanks"])


def test_with_a_table_words_and_labels_are_stored(
    function: ModuleType, dynamo_client: DynamoClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DYNAMO_TABLE_NAME", dynamo_client.table_name)

    assert function.handler(EVENT, None) == ANSWER | {"table": "receipts"}
    assert len(dynamo_client.list_words("receipt-1")) == 4
    assert len(dynamo_client.list_labels("receipt-1")) == 3
    assert function.handler(EVENT, None) == ANSWER | {"table": "receipts"}


def test_with_a_table_the_answer_is_about_all_it_has(
    function: ModuleType, dynamo_client: DynamoClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DYNAMO_TABLE_NAME", dynamo_client.table_name)
    place: dict[str, Any] = {"receipt_id": "r-1", "line_id": 1, "word_id": 1}
    dynamo_client.put_words([Word(**place, text="GREEN")])
    dynamo_client.put_labels(
        [Label(**place | {"line_id": 7}, name="TAX", source="rules")]
    )  # its word is gone

    late = {**TOTAL, "line_id": 1}
    answer = function.handler({"receipt_id": "r-1", "words": [WORD], "labels": [late]}, None)

    assert (answer["words"], answer["by_label"], answer["unlabelled"]) == (
        2,
        {"TOTAL": ["GREEN"]},
        ["Thanks"],
    )


def test_a_bad_event_stores_nothing(
    function: ModuleType, dynamo_client: DynamoClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DYNAMO_TABLE_NAME", dynamo_client.table_name)

    with pytest.raises(ValueError, match="there is no word 1 in line 9"):
        function.handler(EVENT | {"labels": [TOTAL]}, None)

    assert dynamo_client.list_words("receipt-1") == []


@pytest.mark.usefixtures("table_name")
def test_a_table_that_is_missing_is_told(function: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNAMO_TABLE_NAME", "elsewhere")

    with pytest.raises(TableError, match="table elsewhere"):
        function.handler(EVENT, None)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("receipt-1", "the event must be an object"),
        ({}, "words must have at least one word"),
        (EVENT | {"receipt_id": None}, r"words\[0\]: receipt_id must be"),
        (EVENT | {"words": {}}, "words must be a list"),
        (EVENT | {"words": ["TOTAL"]}, r"words\[0\] must be an object"),
        (EVENT | {"words": [{"line_id": 1}]}, r"words\[0\] has no text, word_id"),
        (EVENT | {"words": [WORD | {"x": 1}]}, r"words\[0\] has x, which is none of confidence, line_id"),
        (EVENT | {"words": [WORD | {"text": ""}]}, r"words\[0\]: text must be text that is not blank"),
        (EVENT | {"words": [WORD, WORD]}, r"words\[1\] is the same as words\[0\]: WORD#00009#00001"),
        (EVENT | {"labels": None}, "labels must be a list"),
        (EVENT | {"labels": [TOTAL]}, r"labels\[0\]: there is no word 1 in line 9"),
        (EVENT | {"labels": [TOTAL | {"name": "total"}]}, r"labels\[0\]: a label's name must be capitals"),
        (EVENT | {"labels": [EVENT["labels"][0]] * 2}, r"labels\[1\] is the same as labels\[0\]"),
    ],
)
def test_a_bad_event_is_told_what_is_wrong(function: ModuleType, event: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function.handler(event, None)


def test_the_handler_needs_nothing_but_receipt_dynamo() -> None:
    code = (
        f"import json, sys; sys.path[:0] = [{str(FOLDER)!r}, {str(FOLDER.parent / 'receipt_dynamo')!r}];"
        "import handler; handler.handler(json.load(sys.stdin), None);"
        "sys.exit(bool({'receipt_label', 'pydantic', 'openai', 'boto3'} & sys.modules.keys()))"
    )
    run = subprocess.run(
        [sys.executable, "-B", "-c", code], input=json.dumps(EVENT), text=True, env={}, check=False
    )

    assert run.returncode == 0
