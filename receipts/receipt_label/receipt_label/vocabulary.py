"""The labels there are and the rules that give them, read from ``labels.json`` beside this module."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Rule(BaseModel):
    """Gives `label` to the words under the group ``value`` of `pattern`, matched in the text of one line.

    keywords: the line must have one of these words or phrases; none means any line. unless: it must have none
    of these. first_lines: the rule reaches only that many lines down; None means all. confidence: 0 to 1.
    Upper and lower case are the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    pattern: re.Pattern[str]
    keywords: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    first_lines: int | None = Field(default=None, ge=1)
    confidence: float = Field(ge=0, le=1)

    @field_validator("pattern")
    @classmethod
    def _has_a_value(cls, pattern: re.Pattern[str]) -> re.Pattern[str]:
        if "value" not in pattern.groupindex:
            raise ValueError(f"the pattern needs a group (?P<value>...): {pattern.pattern}")
        return re.compile(pattern.pattern, re.IGNORECASE)

    def spans(self, text: str, line_index: int) -> list[tuple[int, int]]:
        """Where in a line's text the rule applies, as (start, end); line_index counts from 0."""
        if self.first_lines is not None and line_index >= self.first_lines:
            return []
        if self.keywords and not _has_any(text, self.keywords):
            return []
        if _has_any(text, self.unless):
            return []
        return [match.span("value") for match in self.pattern.finditer(text)]


class Vocabulary(BaseModel):
    """labels: name -> what it means. rules: in the order in which they get to claim words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: dict[str, str]
    rules: tuple[Rule, ...]

    @model_validator(mode="after")
    def _knows_its_labels(self) -> Self:
        if unknown := sorted({rule.label for rule in self.rules} - self.labels.keys()):
            raise ValueError(f"rules for labels that are not in the vocabulary: {', '.join(unknown)}")
        return self


@cache
def default_vocabulary() -> Vocabulary:
    """The vocabulary that comes with the package."""
    return Vocabulary.model_validate_json(
        files("receipt_label").joinpath("labels.json").read_text(encoding="utf-8")
    )


def _has_any(text: str, phrases: tuple[str, ...]) -> bool:
    return any(re.search(rf"\b{re.escape(phrase)}\b", text, re.IGNORECASE) for phrase in phrases)
