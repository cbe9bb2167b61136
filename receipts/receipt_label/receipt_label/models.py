"""What labelling gives back."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from receipt_dynamo import Label


class WordLabel(BaseModel):
    """The label of one word. confidence: 0 to 1. source: who gave it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    line_id: int = Field(ge=1)
    word_id: int = Field(ge=1)
    text: str
    label: str
    confidence: float = Field(ge=0, le=1)
    source: Literal["rules", "openai"] = "rules"


class LabelledReceipt(BaseModel):
    """The labels of a receipt's words in reading order; a word has one or, left out of here, none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    receipt_id: str
    words: tuple[WordLabel, ...] = ()

    def texts(self, label: str) -> tuple[str, ...]:
        """The words with a label, from top to bottom."""
        return tuple(word.text for word in self.words if word.label == label)

    def line_label(self, line_id: int) -> str | None:
        """The surest label of a line, the leftmost of equals; None when no word of it has one."""
        labels = [word for word in self.words if word.line_id == line_id]
        return max(labels, key=lambda word: word.confidence).label if labels else None

    def to_entities(self) -> tuple[Label, ...]:
        """The same labels as entities of `receipt_dynamo`."""
        return tuple(
            Label(
                receipt_id=self.receipt_id,
                line_id=word.line_id,
                word_id=word.word_id,
                name=word.label,
                source=word.source,
                confidence=word.confidence,
            )
            for word in self.words
        )
