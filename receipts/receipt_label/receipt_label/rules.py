"""Labels by the rules of a vocabulary."""

from __future__ import annotations

from collections.abc import Iterable

from receipt_dynamo import Word
from receipt_label.lines import Line, lines_of
from receipt_label.models import LabelledReceipt, WordLabel
from receipt_label.vocabulary import Vocabulary, default_vocabulary


def label_words(
    receipt_id: str, words: Iterable[Word], vocabulary: Vocabulary | None = None
) -> LabelledReceipt:
    """Label the words of one receipt; vocabulary: None means that of the package.

    Raises ValueError when a word belongs to another receipt.
    """
    vocabulary = vocabulary or default_vocabulary()
    words = tuple(words)
    if strangers := sorted({word.receipt_id for word in words} - {receipt_id}):
        raise ValueError(f"words of other receipts than {receipt_id}: {', '.join(strangers)}")
    labels = [
        label for index, line in enumerate(lines_of(words)) for label in _label_line(line, index, vocabulary)
    ]
    return LabelledReceipt(receipt_id=receipt_id, words=tuple(labels))


def _label_line(line: Line, index: int, vocabulary: Vocabulary) -> list[WordLabel]:
    labels: dict[int, WordLabel] = {}
    for rule in vocabulary.rules:
        for start, end in rule.spans(line.text, index):
            for word in line.words_under(start, end):
                label = WordLabel(
                    line_id=word.line_id,
                    word_id=word.word_id,
                    text=word.text,
                    label=rule.label,
                    confidence=rule.confidence,
                )
                labels.setdefault(word.word_id, label)
    return [labels[word_id] for word_id in sorted(labels)]
