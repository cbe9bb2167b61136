"""Takes the words of a receipt with their labels, keeps them, and says what is labelled and what is not.

Event: ``{"receipt_id": "r-1", "words": [{"line_id", "word_id", "text", "confidence"}, ...],
"labels": [{"line_id", "word_id", "name", "source", "confidence"}, ...]}``; ``confidence``, and ``labels`` as
a whole, may be left out.

With DYNAMO_TABLE_NAME set, words and labels are stored in that table, and the answer is about everything the
table has of the receipt. Without it the answer is about the event alone, and no AWS is needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from receipt_dynamo import EntityError, Label, Word

if TYPE_CHECKING:
    from receipt_dynamo.client import DynamoClient

WORD_FIELDS = frozenset({"line_id", "word_id", "text", "confidence"})
LABEL_FIELDS = frozenset({"line_id", "word_id", "name", "source", "confidence"})

Entity = TypeVar("Entity", Word, Label)


def handler(event: object, context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda passes both
    """Answer one event. Raises ValueError for a bad event, receipt_dynamo.TableError when DynamoDB fails."""
    if not isinstance(event, Mapping):
        raise ValueError(f"the event must be an object, not {event!r}")
    receipt_id = event.get("receipt_id")
    entries = _entries(event, "words", WORD_FIELDS)
    if not entries:
        raise ValueError("words must have at least one word")
    words = [_entity(Word, receipt_id, where, entry) for where, entry in entries]
    labels = [
        _entity(Label, receipt_id, where, entry) for where, entry in _entries(event, "labels", LABEL_FIELDS)
    ]
    _check_unique("words", words)
    _check_unique("labels", labels)
    table_name = os.environ.get("DYNAMO_TABLE_NAME")
    client = dynamo_client(table_name) if table_name else None
    known = [*words, *client.list_words(words[0].receipt_id)] if client else words
    _check_words_exist(labels, known)
    if client:
        client.put_words(words)
        client.put_labels(labels)
        words, labels = client.list_words(words[0].receipt_id), client.list_labels(words[0].receipt_id)
    return {"receipt_id": receipt_id, "table": table_name, **summary(words, labels)}


def summary(words: Iterable[Word], labels: Iterable[Label]) -> dict[str, Any]:
    """How many words have a label, the words of each label, and the words without one.

    A label of a word that is not there counts for nothing.
    """
    texts = {_place(word): word.text for word in words}
    by_label: dict[str, list[str]] = {}
    labelled: set[tuple[int, int]] = set()
    for label in sorted(labels, key=lambda label: (label.name, *_place(label))):
        if (text := texts.get(_place(label))) is not None:
            by_label.setdefault(label.name, []).append(text)
            labelled.add(_place(label))
    return {
        "words": len(texts),
        "labelled": len(labelled),
        "by_label": by_label,
        "unlabelled": [text for place, text in sorted(texts.items()) if place not in labelled],
    }


@cache
def dynamo_client(table_name: str) -> DynamoClient:
    """The client of a table, made once in an instance; without a table boto3 is never loaded."""
    from receipt_dynamo.client import DynamoClient

    return DynamoClient(table_name)


def _entries(
    event: Mapping[str, Any], field: str, allowed: frozenset[str]
) -> list[tuple[str, Mapping[str, Any]]]:
    entries = event.get(field, [])
    if not isinstance(entries, list):
        raise ValueError(f"{field} must be a list, not {entries!r}")
    named = [(f"{field}[{index}]", entry) for index, entry in enumerate(entries)]
    for where, entry in named:
        if not isinstance(entry, Mapping):
            raise ValueError(f"{where} must be an object, not {entry!r}")
        if unknown := sorted(entry.keys() - allowed):
            raise ValueError(
                f"{where} has {', '.join(unknown)}, which is none of {', '.join(sorted(allowed))}"
            )
        if missing := sorted(allowed - entry.keys() - {"confidence"}):
            raise ValueError(f"{where} has no {', '.join(missing)}")
    return named


def _entity(kind: type[Entity], receipt_id: Any, where: str, fields: Mapping[str, Any]) -> Entity:
    try:
        return kind(receipt_id=receipt_id, **fields)
    except EntityError as error:
        raise ValueError(f"{where}: {error}") from error


def _place(entity: Word | Label) -> tuple[int, int]:
    return entity.line_id, entity.word_id


def _check_unique(field: str, entities: Iterable[Word | Label]) -> None:
    seen: dict[str, int] = {}
    for index, entity in enumerate(entities):
        if (first := seen.setdefault(entity.key["SK"], index)) != index:
            raise ValueError(f"{field}[{index}] is the same as {field}[{first}]: {entity.key['SK']}")


def _check_words_exist(labels: Iterable[Label], words: Iterable[Word]) -> None:
    places = {_place(word) for word in words}
    for index, label in enumerate(labels):
        if _place(label) not in places:
            raise ValueError(f"labels[{index}]: there is no word {label.word_id} in line {label.line_id}")
