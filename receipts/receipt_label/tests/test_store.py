from __future__ import annotations

from receipt_dynamo import Label
from receipt_dynamo.client import DynamoClient
from receipt_label import label_words, words_of_line
from receipt_label.store import store


def test_labels_are_kept_in_the_table(dynamo_client: DynamoClient) -> None:
    labelled = label_words("r-1", words_of_line("r-1", 3, "TOTAL $13.10"))

    assert store(dynamo_client, labelled) == 1
    assert dynamo_client.list_labels("r-1") == [
        Label(receipt_id="r-1", line_id=3, word_id=2, name="TOTAL", source="rules", confidence=0.95)
    ]
