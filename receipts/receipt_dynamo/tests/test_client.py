from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import boto3
import pytest
from botocore.exceptions import ClientError

from receipt_dynamo import AlreadyExistsError, EntityError, Label, NotFoundError, Receipt, TableError, Word
from receipt_dynamo.client import DynamoClient

NOON = datetime(2025, 3, 14, 12, 0, tzinfo=UTC)
RECEIPT = Receipt(receipt_id="r-1", added_at=NOON, merchant="Green Market", total=Decimal("8.11"))
LABEL = Label(receipt_id="r-1", line_id=2, word_id=3, name="TOTAL", source="rules", confidence=0.95)


def words_of(receipt_id: str, lines: int, words: int) -> list[Word]:
    return [
        Word(receipt_id=receipt_id, line_id=line, word_id=word, text=f"{line}.{word}", confidence=0.5)
        for line in range(1, lines + 1)
        for word in range(1, words + 1)
    ]


def test_a_receipt_comes_back_as_it_was_stored(dynamo_client: DynamoClient) -> None:
    dynamo_client.put_receipt(RECEIPT)

    assert dynamo_client.get_receipt("r-1") == RECEIPT


def test_a_receipt_is_replaced_unless_forbidden(dynamo_client: DynamoClient) -> None:
    newer = replace(RECEIPT, total=Decimal("9.00"))
    dynamo_client.put_receipt(RECEIPT, replace=False)

    with pytest.raises(AlreadyExistsError, match="receipt r-1 is in table receipts already"):
        dynamo_client.put_receipt(newer, replace=False)
    assert dynamo_client.get_receipt("r-1") == RECEIPT

    dynamo_client.put_receipt(newer)
    assert dynamo_client.get_receipt("r-1") == newer


def test_receipts_are_listed_oldest_first_over_pages(dynamo_client: DynamoClient) -> None:
    receipts = [Receipt(receipt_id=f"r-{n}", added_at=NOON + timedelta(minutes=n)) for n in range(5)]
    for receipt in reversed(receipts):
        dynamo_client.put_receipt(receipt)

    assert dynamo_client.list_receipts() == receipts


def test_words_are_listed_in_reading_order_over_pages_and_batches(dynamo_client: DynamoClient) -> None:
    words = words_of("r-1", lines=12, words=5)  # three batches of 25, thirty pages of 2

    assert dynamo_client.put_words(reversed(words)) == 60
    dynamo_client.put_words(words_of("r-10", lines=1, words=1))

    assert dynamo_client.list_words("r-1") == words
    assert dynamo_client.get_word("r-1", 12, 5) == words[-1]


def test_of_two_words_with_one_key_the_last_is_kept(dynamo_client: DynamoClient) -> None:
    word = words_of("r-1", lines=1, words=1)[0]

    assert dynamo_client.put_words([word, replace(word, text="newer")]) == 1
    assert [word.text for word in dynamo_client.list_words("r-1")] == ["newer"]


def test_a_word_may_have_labels_of_several_names(dynamo_client: DynamoClient) -> None:
    other = replace(LABEL, name="LINE_TOTAL", source="openai")

    assert dynamo_client.put_labels([LABEL, other]) == 2
    assert dynamo_client.list_labels("r-1") == [other, LABEL]
    assert dynamo_client.get_label("r-1", 2, 3, "TOTAL") == LABEL


def test_labels_of_a_name_are_found_in_all_receipts(dynamo_client: DynamoClient) -> None:
    totals = [replace(LABEL, receipt_id=f"r-{n}") for n in range(3)]
    dynamo_client.put_labels([*totals, replace(LABEL, name="TAX")])

    assert dynamo_client.list_labels_named("TOTAL") == totals


def test_listing_what_is_not_there_gives_nothing(dynamo_client: DynamoClient) -> None:
    assert dynamo_client.list_receipts() == []
    assert dynamo_client.list_words("r-1") == []
    assert dynamo_client.list_labels("r-1") == []
    assert dynamo_client.put_words([]) == 0


def test_getting_what_is_not_there_names_the_key(dynamo_client: DynamoClient) -> None:
    with pytest.raises(NotFoundError, match="table receipts has no item RECEIPT#r-1 RECEIPT"):
        dynamo_client.get_receipt("r-1")
    with pytest.raises(NotFoundError, match="WORD#00001#00002"):
        dynamo_client.get_word("r-1", 1, 2)
    with pytest.raises(NotFoundError, match="LABEL#00001#00002#TAX"):
        dynamo_client.get_label("r-1", 1, 2, "TAX")


def test_an_impossible_key_is_refused_before_any_request(dynamo_client: DynamoClient) -> None:
    with pytest.raises(EntityError, match="receipt_id must be"):
        dynamo_client.list_words("a#b")
    with pytest.raises(EntityError, match="name must be capitals"):
        dynamo_client.list_labels_named("total")


def test_a_receipt_is_deleted_with_all_it_has(dynamo_client: DynamoClient) -> None:
    dynamo_client.put_receipt(RECEIPT)
    dynamo_client.put_words([*words_of("r-1", lines=3, words=1), *words_of("r-2", lines=1, words=1)])
    dynamo_client.put_labels([LABEL])

    assert dynamo_client.delete_receipt("r-1") == 5
    assert dynamo_client.delete_receipt("r-1") == 0
    assert dynamo_client.list_receipts() == []
    assert len(dynamo_client.list_words("r-2")) == 1


def test_without_a_resource_the_client_makes_one(table_name: str) -> None:
    client = DynamoClient(table_name, region="us-east-1")

    client.put_receipt(RECEIPT)

    assert client.list_receipts() == [RECEIPT]


@pytest.mark.usefixtures("table_name")
def test_what_dynamodb_refuses_is_told_with_the_table() -> None:
    client = DynamoClient("elsewhere", region="us-east-1")

    with pytest.raises(TableError, match=r"could not list words \(table elsewhere\)") as caught:
        client.list_words("r-1")
    assert isinstance(caught.value.__cause__, ClientError)
    with pytest.raises(TableError, match="could not put words"):
        client.put_words(words_of("r-1", lines=1, words=1))
    with pytest.raises(TableError, match="could not put a receipt"):
        client.put_receipt(RECEIPT, replace=False)


def test_a_missing_region_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it may remember the region of another test

    with pytest.raises(TableError, match="You must specify a region"):
        DynamoClient("receipts")
