"""Labels into the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receipt_label.models import LabelledReceipt

if TYPE_CHECKING:
    from receipt_dynamo.client import DynamoClient


def store(client: DynamoClient, labelled: LabelledReceipt) -> int:
    """Keep the labels of a receipt; the number written. Raises receipt_dynamo.TableError."""
    return client.put_labels(labelled.to_entities())
