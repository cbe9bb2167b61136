"""Receipts, words and labels in and out of the table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
from boto3.dynamodb.conditions import ConditionBase, Key
from botocore.exceptions import BotoCoreError, ClientError

from receipt_dynamo.entities import (
    RECEIPTS,
    Item,
    Label,
    Receipt,
    Word,
    label_key,
    label_partition,
    receipt_key,
    word_key,
)
from receipt_dynamo.errors import AlreadyExistsError, NotFoundError, TableError
from receipt_dynamo.schema import INDEX

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import DynamoDBServiceResource


class DynamoClient:
    """Access to one table.

    region: None leaves it to boto3. resource: a DynamoDB service resource of boto3 instead of a new one.
    page_size: the number of items asked for at a time; None leaves it to DynamoDB (1 MB).
    Every method may raise TableError.
    """

    def __init__(
        self,
        table_name: str,
        region: str | None = None,
        resource: DynamoDBServiceResource | None = None,
        *,
        page_size: int | None = None,
    ) -> None:
        self.table_name = table_name
        with self._explained("open"):
            resource = resource or boto3.resource("dynamodb", region_name=region)
            self._table = resource.Table(table_name)
        self._paging: dict[str, Any] = {} if page_size is None else {"Limit": page_size}

    def put_receipt(self, receipt: Receipt, *, replace: bool = True) -> None:
        """Store a receipt. Raises AlreadyExistsError when it is there and must not be replaced."""
        condition = {} if replace else {"ConditionExpression": "attribute_not_exists(PK)"}
        try:
            with self._explained("put a receipt"):
                self._table.put_item(Item=receipt.to_item(), **condition)  # type: ignore[arg-type]
        except TableError as error:
            if _code(error.__cause__) != "ConditionalCheckFailedException":
                raise
            raise AlreadyExistsError(
                f"receipt {receipt.receipt_id} is in table {self.table_name} already"
            ) from error

    def put_words(self, words: Iterable[Word]) -> int:
        """Store words in batches, replacing those of the same key; the number of items written."""
        return self._put_all("put words", (word.to_item() for word in words))

    def put_labels(self, labels: Iterable[Label]) -> int:
        """Store labels in batches, replacing those of the same key; the number of items written."""
        return self._put_all("put labels", (label.to_item() for label in labels))

    def get_receipt(self, receipt_id: str) -> Receipt:
        """One receipt. Raises NotFoundError."""
        return Receipt.from_item(self._get("get a receipt", receipt_key(receipt_id)))

    def get_word(self, receipt_id: str, line_id: int, word_id: int) -> Word:
        """One word. Raises NotFoundError."""
        return Word.from_item(self._get("get a word", word_key(receipt_id, line_id, word_id)))

    def get_label(self, receipt_id: str, line_id: int, word_id: int, name: str) -> Label:
        """One label. Raises NotFoundError."""
        return Label.from_item(self._get("get a label", label_key(receipt_id, line_id, word_id, name)))

    def list_receipts(self) -> list[Receipt]:
        """All receipts, oldest first; one that was stored this moment may be missing from the index."""
        return [
            Receipt.from_item(item)
            for item in self._query("list receipts", Key("GSI1PK").eq(RECEIPTS), IndexName=INDEX)
        ]

    def list_words(self, receipt_id: str) -> list[Word]:
        """The words of a receipt in reading order."""
        return [Word.from_item(item) for item in self._of_receipt("list words", receipt_id, "WORD#")]

    def list_labels(self, receipt_id: str) -> list[Label]:
        """The labels of a receipt's words in reading order, then by name."""
        return [Label.from_item(item) for item in self._of_receipt("list labels", receipt_id, "LABEL#")]

    def list_labels_named(self, name: str) -> list[Label]:
        """The labels of a name in all receipts; one that was stored this moment may be missing."""
        condition = Key("GSI1PK").eq(label_partition(name))
        return [
            Label.from_item(item) for item in self._query("list labels by name", condition, IndexName=INDEX)
        ]

    def delete_receipt(self, receipt_id: str) -> int:
        """Delete a receipt with its words and labels; the number of items deleted, 0 if there were none."""
        keys = [
            {"PK": item["PK"], "SK": item["SK"]}
            for item in self._of_receipt("delete a receipt", receipt_id, "", ProjectionExpression="PK, SK")
        ]
        with self._explained("delete a receipt"), self._table.batch_writer() as batch:
            for key in keys:
                batch.delete_item(Key=key)
        return len(keys)

    def _put_all(self, action: str, items: Iterable[Item]) -> int:
        # DynamoDB refuses a batch that names a key twice: the last one wins, as it would one by one.
        unique = {(item["PK"], item["SK"]): item for item in items}
        # The batch writer sends 25 at a time and sends again what DynamoDB left unprocessed.
        with self._explained(action), self._table.batch_writer() as batch:
            for item in unique.values():
                batch.put_item(Item=item)
        return len(unique)

    def _get(self, action: str, key: Item) -> Item:
        with self._explained(action):
            answer = self._table.get_item(Key=key, ConsistentRead=True)
        if "Item" not in answer:
            raise NotFoundError(f"table {self.table_name} has no item {key['PK']} {key['SK']}")
        return answer["Item"]

    def _of_receipt(self, action: str, receipt_id: str, prefix: str, **options: Any) -> Iterator[Item]:
        condition: ConditionBase = Key("PK").eq(receipt_key(receipt_id)["PK"])
        if prefix:
            condition &= Key("SK").begins_with(prefix)
        return self._query(action, condition, ConsistentRead=True, **options)

    def _query(self, action: str, condition: ConditionBase, **options: Any) -> Iterator[Item]:
        start: dict[str, Any] = {}
        while True:
            with self._explained(action):
                page = self._table.query(KeyConditionExpression=condition, **options, **self._paging, **start)
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    @contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise TableError(f"could not {action} (table {self.table_name}): {error}") from error


def _code(error: BaseException | None) -> str | None:
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else None
