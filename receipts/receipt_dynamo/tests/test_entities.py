from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from receipt_dynamo import EntityError, Label, Receipt, Word

NOON = datetime(2025, 3, 14, 12, 0, tzinfo=UTC)
RECEIPT = Receipt(receipt_id="r-1", added_at=NOON, merchant="Green Market", total=Decimal("8.11"))
WORD = Word(receipt_id="r-1", line_id=2, word_id=3, text="$8.11", confidence=0.91)
LABEL = Label(receipt_id="r-1", line_id=2, word_id=3, name="TOTAL", source="rules", confidence=0.95)


@pytest.mark.parametrize("entity", [RECEIPT, Receipt(receipt_id="r-2", added_at=NOON), WORD, LABEL])
def test_an_item_gives_back_its_entity(entity: Receipt | Word | Label) -> None:
    assert type(entity).from_item(entity.to_item()) == entity


def test_what_a_receipt_does_not_have_is_left_out_of_its_item() -> None:
    item = Receipt(receipt_id="r-2", added_at=NOON).to_item()

    assert item.keys().isdisjoint({"merchant", "total"})


def test_items_hold_no_float() -> None:
    assert WORD.to_item()["confidence"] == Decimal("0.91")
    assert not any(isinstance(value, float) for value in LABEL.to_item().values())


def test_times_are_kept_in_utc_and_sort_as_text() -> None:
    east = timezone(timedelta(hours=2))
    earlier = Receipt(receipt_id="r-1", added_at=datetime(2025, 3, 14, 13, 0, tzinfo=east))
    later = Receipt(receipt_id="r-1", added_at=datetime(2025, 3, 14, 11, 0, 0, 5, tzinfo=UTC))

    assert earlier.added_at == datetime(2025, 3, 14, 11, 0, tzinfo=UTC)
    assert earlier.to_item()["GSI1SK"] < later.to_item()["GSI1SK"]


def test_sort_keys_are_in_reading_order() -> None:
    places = [(1, 2), (2, 1), (2, 10), (10, 1)]
    keys = [Word(receipt_id="r-1", line_id=a, word_id=b, text="x").key["SK"] for a, b in places]

    assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"receipt_id": "a#b"}, "receipt_id must be"),
        ({"receipt_id": ""}, "receipt_id must be"),
        ({"receipt_id": None}, "receipt_id must be"),
        ({"line_id": 0}, "line_id must be an integer from 1 to 99999, not 0"),
        ({"line_id": True}, "line_id must be"),
        ({"word_id": 100_000}, "word_id must be"),
        ({"word_id": "3"}, "word_id must be"),
        ({"text": "  "}, "text must be text that is not blank"),
        ({"confidence": 1.01}, "confidence must be a number from 0 to 1"),
        ({"confidence": float("nan")}, "confidence must be"),
        ({"confidence": "high"}, "confidence must be"),
    ],
)
def test_a_word_is_checked(change: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {"receipt_id": "r-1", "line_id": 2, "word_id": 3, "text": "x"}

    with pytest.raises(EntityError, match=message):
        Word(**fields | change)


@pytest.mark.parametrize("name", ["total", "", "TOTAL#1", "_TOTAL", 7])
def test_a_label_has_a_name_in_capitals(name: Any) -> None:
    with pytest.raises(EntityError, match="name must be capitals"):
        Label(receipt_id="r-1", line_id=1, word_id=1, name=name, source="rules")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"added_at": datetime(2025, 3, 14)}, "with a time zone"),
        ({"added_at": "2025-03-14"}, "with a time zone"),
        ({"merchant": ""}, "merchant must be text"),
        ({"total": 8.11}, "total must be a finite Decimal"),
        ({"total": Decimal("NaN")}, "total must be a finite Decimal"),
    ],
)
def test_a_receipt_is_checked(change: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {"receipt_id": "r-1", "added_at": NOON}

    with pytest.raises(EntityError, match=message):
        Receipt(**fields | change)


@pytest.mark.parametrize("kind", [Receipt, Word, Label])
def test_an_item_of_another_kind_is_refused(kind: type[Receipt | Word | Label]) -> None:
    with pytest.raises(EntityError, match="expected an item of type"):
        kind.from_item({"PK": "RECEIPT#r-1", "SK": "OTHER", "TYPE": "OTHER"})


@pytest.mark.parametrize(
    ("entity", "field"), [(RECEIPT, "added_at"), (WORD, "text"), (LABEL, "confidence"), (WORD, "line_id")]
)
def test_an_item_that_lacks_a_field_is_named(entity: Receipt | Word | Label, field: str) -> None:
    item = entity.to_item()
    del item[field]

    with pytest.raises(EntityError, match=f"item 'RECEIPT#r-1' '{item['SK']}' is no readable"):
        type(entity).from_item(item)


def test_an_entity_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        WORD.text = "other"  # type: ignore[misc]


def test_the_entities_load_without_boto3() -> None:
    code = "import sys, receipt_dynamo; sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    folder = Path(__file__).parent.parent

    assert subprocess.run([sys.executable, "-B", "-c", code], cwd=folder, check=False).returncode == 0
