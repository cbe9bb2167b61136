"""Receipt, Word and Label: checked when they are made, and translated to and from items of the table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Self

from receipt_dynamo.errors import EntityError

Item = dict[str, Any]
TYPE = "TYPE"  # the attribute that tells the three apart

RECEIPTS = "RECEIPT"  # the GSI1PK of all receipts
MAX_NUMBER = 99_999  # what five digits of a sort key can hold
_RECEIPT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_LABEL_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One receipt.

    added_at: when it was added, with a time zone; kept in UTC. merchant, total: None until they are known.
    Raises EntityError.
    """

    receipt_id: str
    added_at: datetime
    merchant: str | None = None
    total: Decimal | None = None

    def __post_init__(self) -> None:
        _check_receipt_id(self.receipt_id)
        if not isinstance(self.added_at, datetime) or self.added_at.tzinfo is None:
            raise EntityError(f"added_at must be a datetime with a time zone, not {self.added_at!r}")
        object.__setattr__(self, "added_at", self.added_at.astimezone(UTC))
        if self.merchant is not None:
            _check_text("merchant", self.merchant)
        if self.total is not None and not (isinstance(self.total, Decimal) and self.total.is_finite()):
            raise EntityError(f"total must be a finite Decimal, not {self.total!r}")

    @property
    def key(self) -> Item:
        """The primary key of this receipt."""
        return receipt_key(self.receipt_id)

    def to_item(self) -> Item:
        """The item to put into the table; what is None is left out."""
        added_at = self.added_at.isoformat(
            timespec="microseconds"
        )  # one width, so that text order is time order
        item = {
            **self.key,
            TYPE: "RECEIPT",
            "GSI1PK": RECEIPTS,
            "GSI1SK": f"{added_at}#{self.receipt_id}",
            "receipt_id": self.receipt_id,
            "added_at": added_at,
            "merchant": self.merchant,
            "total": self.total,
        }
        return {name: value for name, value in item.items() if value is not None}

    @classmethod
    def from_item(cls, item: Mapping[str, Any]) -> Self:
        """The receipt of an item. Raises EntityError when the item is none."""
        _check_type(item, "RECEIPT")
        try:
            added_at = datetime.fromisoformat(item["added_at"])
            receipt_id = item["receipt_id"]
        except (KeyError, TypeError, ValueError) as error:
            raise _unreadable("RECEIPT", item) from error
        return cls(
            receipt_id=receipt_id, added_at=added_at, merchant=item.get("merchant"), total=item.get("total")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word of a receipt as it was read.

    line_id, word_id: counted from 1. confidence: how sure the reader was, 0 to 1. Raises EntityError.
    """

    receipt_id: str
    line_id: int
    word_id: int
    text: str
    confidence: float = 1.0

    def __post_init__(self) -> None:
        _check_receipt_id(self.receipt_id)
        _check_number("line_id", self.line_id)
        _check_number("word_id", self.word_id)
        _check_text("text", self.text)
        _check_confidence(self.confidence)

    @property
    def key(self) -> Item:
        """The primary key of this word."""
        return word_key(self.receipt_id, self.line_id, self.word_id)

    def to_item(self) -> Item:
        """The item to put into the table."""
        return {
            **self.key,
            TYPE: "WORD",
            "receipt_id": self.receipt_id,
            "line_id": self.line_id,
            "word_id": self.word_id,
            "text": self.text,
            "confidence": _decimal(self.confidence),
        }

    @classmethod
    def from_item(cls, item: Mapping[str, Any]) -> Self:
        """The word of an item. Raises EntityError when the item is none."""
        _check_type(item, "WORD")
        try:
            return cls(
                receipt_id=item["receipt_id"],
                line_id=int(item["line_id"]),
                word_id=int(item["word_id"]),
                text=item["text"],
                confidence=float(item["confidence"]),
            )
        except (KeyError, TypeError) as error:
            raise _unreadable("WORD", item) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What one word of a receipt means, and who says so.

    name: in capitals, such as ``TOTAL``. source: ``rules``, ``openai``, a person's name. confidence: 0 to 1.
    A word may have several labels, one of each name. Raises EntityError.
    """

    receipt_id: str
    line_id: int
    word_id: int
    name: str
    source: str
    confidence: float = 1.0

    def __post_init__(self) -> None:
        _check_receipt_id(self.receipt_id)
        _check_number("line_id", self.line_id)
        _check_number("word_id", self.word_id)
        _check_label_name(self.name)
        _check_text("source", self.source)
        _check_confidence(self.confidence)

    @property
    def key(self) -> Item:
        """The primary key of this label."""
        return label_key(self.receipt_id, self.line_id, self.word_id, self.name)

    def to_item(self) -> Item:
        """The item to put into the table."""
        return {
            **self.key,
            TYPE: "LABEL",
            "GSI1PK": label_partition(self.name),
            "GSI1SK": f"{self.receipt_id}#{self.line_id:05}#{self.word_id:05}",
            "receipt_id": self.receipt_id,
            "line_id": self.line_id,
            "word_id": self.word_id,
            "name": self.name,
            "source": self.source,
            "confidence": _decimal(self.confidence),
        }

    @classmethod
    def from_item(cls, item: Mapping[str, Any]) -> Self:
        """The label of an item. Raises EntityError when the item is none."""
        _check_type(item, "LABEL")
        try:
            return cls(
                receipt_id=item["receipt_id"],
                line_id=int(item["line_id"]),
                word_id=int(item["word_id"]),
                name=item["name"],
                source=item["source"],
                confidence=float(item["confidence"]),
            )
        except (KeyError, TypeError) as error:
            raise _unreadable("LABEL", item) from error


def receipt_key(receipt_id: str) -> Item:
    """The primary key of a receipt; its ``PK`` is that of the words and labels too."""
    _check_receipt_id(receipt_id)
    return {"PK": f"RECEIPT#{receipt_id}", "SK": "RECEIPT"}


def word_key(receipt_id: str, line_id: int, word_id: int) -> Item:
    """The primary key of a word."""
    return {"PK": receipt_key(receipt_id)["PK"], "SK": f"WORD#{line_id:05}#{word_id:05}"}


def label_key(receipt_id: str, line_id: int, word_id: int, name: str) -> Item:
    """The primary key of a label."""
    return {"PK": receipt_key(receipt_id)["PK"], "SK": f"LABEL#{line_id:05}#{word_id:05}#{name}"}


def label_partition(name: str) -> str:
    """The ``GSI1PK`` of all labels of a name."""
    _check_label_name(name)
    return f"LABEL#{name}"


def _decimal(value: float) -> Decimal:
    # By way of text: DynamoDB takes no floats, and Decimal(0.9) has more digits than it accepts.
    return Decimal(str(value))


def _check_receipt_id(value: object) -> None:
    if not isinstance(value, str) or not _RECEIPT_ID.fullmatch(value):
        raise EntityError(
            f"receipt_id must be 1 to 128 letters, digits, '_', '.' or '-', starting with a letter or digit, "
            f"not {value!r}"
        )


def _check_label_name(value: object) -> None:
    if not isinstance(value, str) or not _LABEL_NAME.fullmatch(value):
        raise EntityError(f"a label's name must be capitals, digits and '_', such as TOTAL, not {value!r}")


def _check_number(field: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_NUMBER:
        raise EntityError(f"{field} must be an integer from 1 to {MAX_NUMBER}, not {value!r}")


def _check_text(field: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise EntityError(f"{field} must be text that is not blank, not {value!r}")


def _check_confidence(value: object) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= 1:
        raise EntityError(f"confidence must be a number from 0 to 1, not {value!r}")


def _check_type(item: Mapping[str, Any], expected: str) -> None:
    if item.get(TYPE) != expected:
        raise EntityError(f"expected an item of type {expected}, not {item.get(TYPE)!r}")


def _unreadable(expected: str, item: Mapping[str, Any]) -> EntityError:
    return EntityError(f"item {item.get('PK')!r} {item.get('SK')!r} is no readable {expected}")
