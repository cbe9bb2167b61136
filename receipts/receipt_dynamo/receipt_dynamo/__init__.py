"""Receipts, their words and the labels of those words in one DynamoDB table.

The client is in `receipt_dynamo.client`: code that only needs the entities starts without loading boto3.
"""

from receipt_dynamo.entities import Label, Receipt, Word
from receipt_dynamo.errors import (
    AlreadyExistsError,
    EntityError,
    NotFoundError,
    ReceiptDynamoError,
    TableError,
)

__all__ = [
    "AlreadyExistsError",
    "EntityError",
    "Label",
    "NotFoundError",
    "Receipt",
    "ReceiptDynamoError",
    "TableError",
    "Word",
]
