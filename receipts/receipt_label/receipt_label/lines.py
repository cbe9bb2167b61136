"""Words as lines of text, and lines of text as words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from receipt_dynamo import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The words of one line from left to right."""

    line_id: int
    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        """The words with one blank between them."""
        return " ".join(word.text for word in self.words)

    def words_under(self, start: int, end: int) -> tuple[Word, ...]:
        """The words that have at least one character of ``text[start:end]``."""
        found: list[Word] = []
        position = 0
        for word in self.words:
            if position < end and start < position + len(word.text):
                found.append(word)
            position += len(word.text) + 1
        return tuple(found)


def lines_of(words: Iterable[Word]) -> tuple[Line, ...]:
    """The lines of a receipt from top to bottom, whatever the order of the words."""
    ordered = sorted(words, key=lambda word: (word.line_id, word.word_id))
    return tuple(
        Line(line_id=line_id, words=tuple(group))
        for line_id, group in groupby(ordered, key=lambda word: word.line_id)
    )


def words_of_line(receipt_id: str, line_id: int, text: str) -> tuple[Word, ...]:
    """The words of a line of text, split at blanks and counted from 1."""
    return tuple(
        Word(receipt_id=receipt_id, line_id=line_id, word_id=word_id, text=part)
        for word_id, part in enumerate(text.split(), start=1)
    )
